"""Pictures, looked at through their labels, ticks and artists; never through pixels."""

import subprocess
import sys
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from segcli import plots
from segcli.numerics.agreement import Agreement
from segcli.plots.figure import BLUE, ORANGE, Margins, new_figure

PNG = b"\x89PNG\r\n\x1a\n"


def variance_table(n):
    ratios = 0.5 ** np.arange(1, n + 1)
    return pd.DataFrame(
        {
            "component": range(1, n + 1),
            "explained_variance_ratio": ratios,
            "cumulative": ratios.cumsum(),
        }
    )


SUGGESTIONS = {"parallel_analysis": 4, "bi_cross_validation": 3}


def evidence_table(n):
    table = variance_table(n)
    errors = 0.8 + 0.01 * np.abs(np.arange(1, n + 1) - 3)
    return table.assign(
        sample_ratio=table["explained_variance_ratio"] * 1.01,
        null_mean=0.04,
        null_limit=0.05,
        prediction_error=errors,
        null_prediction_error=errors + 0.2,
    )


def inertia_table():
    return pd.DataFrame(
        {
            "k": [2, 3, 5],
            "inertia_reduced_share": [0.8, 0.6, 0.4],
            "inertia_full_share": [0.95, 0.9, 0.85],
        }
    )


SIZES = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


def evaluations(k=3):
    diagonal = Agreement(np.diag(np.arange(1, k + 1)))
    return {"in_sample": diagonal, "cross_validated": Agreement(np.full((k, k), 2))}


FIGURES = {
    "explained_variance": lambda: plots.explained_variance(variance_table(12), "tfidf"),
    "explained_variance with evidence": lambda: plots.explained_variance(
        evidence_table(12), "tfidf", suggestions=SUGGESTIONS
    ),
    "inertia": lambda: plots.inertia(inertia_table(), 10, "raw"),
    "k_evidence": lambda: k_figure(k_table()),
    "segment_sizes": lambda: plots.segment_sizes(*SIZES),
    "confusion_matrix": lambda: plots.confusion_matrix(evaluations()),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_figure_is_drawn_the_same_twice(draw):
    figure = draw()
    assert isinstance(figure, Figure)
    first = plots.png(figure)
    assert first.startswith(PNG)
    assert plots.png(draw()) == first
    assert b"Software" not in first


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_axis_says_what_it_shows(draw):
    axes = draw().axes
    assert all(ax.get_xlabel() or ax.get_ylabel() for ax in axes)
    assert all(ax.get_title() or ax.get_ylabel() for ax in axes)


@pytest.mark.parametrize(("n_columns", "n_rows"), [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_margins_are_in_inches_whatever_the_figure_s_size(n_columns, n_rows):
    margins = Margins(left=0.7, right=0.2, bottom=0.5, top=0.9, columns=0.6, rows=1.1)
    _, axes = new_figure(11, 7, n_columns, n_rows, margins=margins)
    boxes = [ax.get_position() for ax in axes]
    x = [[11 * box.x0, 11 * box.x1] for box in boxes[:n_columns]]
    y = [[7 * box.y0, 7 * box.y1] for box in boxes[::-n_columns]]
    gaps = [0.7, *[0.6] * (n_columns - 1), 0.2], [0.5, *[1.1] * (n_rows - 1), 0.9]
    for edges, size, expected in zip((x, y), (11, 7), gaps, strict=True):
        assert np.diff([0, *np.ravel(edges), size])[::2] == pytest.approx(expected)


def curve(ax, label=None):
    lines = [line for line in ax.get_lines() if label is None or line.get_label() == label]
    assert len(lines) == 1
    return np.asarray(lines[0].get_xdata()).tolist(), np.asarray(lines[0].get_ydata()).tolist()


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def whole_numbers(ticks):
    return all(float(tick).is_integer() for tick in ticks)


def test_explained_variance_shows_shares_and_running_shares():
    table = variance_table(12)
    figure = plots.explained_variance(table, "tfidf")
    left, right = figure.axes
    components = table["component"].tolist()
    assert curve(left) == (components, table["explained_variance_ratio"].tolist())
    assert curve(right) == (components, table["cumulative"].tolist())
    assert "tfidf" in figure.get_suptitle()
    assert "log" not in left.get_title()
    assert [note.get_text() for note in right.texts] == ["10: 100%"]
    for ax in (left, right):
        assert ax.get_xlabel() == "component"
        assert whole_numbers(ax.get_xticks())
        assert ax.get_ylim()[0] == 0
        assert all(label.endswith("%") for label in tick_labels(ax.yaxis) if label)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_explained_variance_of_few_components_has_no_notes(n):
    figure = plots.explained_variance(variance_table(n), "raw")
    assert not figure.axes[1].texts
    plots.png(figure)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_evidence_for_components_stands_beside_the_null():
    table = evidence_table(12)
    left, right, below = plots.explained_variance(table, "tfidf", suggestions=SUGGESTIONS).axes
    components = table["component"].tolist()
    assert curve(left, "these data") == (components, table["sample_ratio"].tolist())
    (band,) = left.collections
    assert band.get_label() == "null: no segments"
    assert band.get_datalim(left.transData).ymax == pytest.approx(0.05)
    assert left.get_yscale() == "log"
    assert left.get_title() == "Share of variance, by component, log scale"
    assert all(label.endswith("%") for label in tick_labels(left.yaxis))
    assert curve(left, "parallel analysis: 4")[0] == [4, 4]
    assert legend(left) == ["null: no segments", "these data", "parallel analysis: 4"]
    assert curve(below) == (components, table["cumulative"].tolist())
    for label, column in (
        ("these data", "prediction_error"),
        ("null: no segments", "null_prediction_error"),
    ):
        assert curve(right, label) == ([0, *components], [1, *table[column]])
    assert curve(right, "bi-cross-validation: 3")[0] == [3, 3]
    assert "held-out" in right.get_title()
    for ax in (left, right, below):
        assert "component" in ax.get_xlabel()
        assert whole_numbers(ax.get_xticks())


@pytest.mark.parametrize("null_mean", [1e-5, 0.04])
def test_shares_on_a_logarithmic_scale_begin_a_little_below_the_least(null_mean):
    table = evidence_table(12).assign(null_mean=null_mean)
    left = plots.explained_variance(table, "raw", suggestions=SUGGESTIONS).axes[0]
    least = min(null_mean, table["sample_ratio"].min())
    assert left.get_ylim()[0] == pytest.approx(least / 1.5)
    assert not left.yaxis.get_ticklabels(minor=True)


@pytest.mark.parametrize("n", [1, 2])
def test_evidence_for_few_components_or_none_is_a_picture_too(n):
    table = evidence_table(n)
    nothing = {"parallel_analysis": 0, "bi_cross_validation": 0}
    plots.png(plots.explained_variance(table, "raw", suggestions=nothing))
    undefined = ["sample_ratio", "null_mean", "null_limit", "prediction_error"]
    table.loc[n - 1, undefined] = np.nan
    plots.png(plots.explained_variance(table, "raw", suggestions=nothing))
    table["null_mean"] = table["null_limit"] = 0.0
    plots.png(plots.explained_variance(table, "raw", suggestions=nothing))


def test_inertia_shows_both_spaces_on_one_scale():
    table = inertia_table()
    figure = plots.inertia(table, 10, "raw")
    (ax,) = figure.axes
    assert curve(ax, "full matrix") == ([2, 3, 5], table["inertia_full_share"].tolist())
    assert curve(ax, "10 components") == ([2, 3, 5], table["inertia_reduced_share"].tolist())
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {
        "full matrix",
        "10 components",
    }
    assert "k" in ax.get_xlabel()
    assert "share of the total variance" in ax.get_ylabel()
    assert all(label.endswith("%") for label in tick_labels(ax.yaxis))
    assert "raw" in ax.get_title()
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] >= 1
    assert whole_numbers(ax.get_xticks())


def test_inertia_on_one_component():
    (ax,) = plots.inertia(inertia_table(), 1, "raw").axes
    assert curve(ax, "1 component")[0] == [2, 3, 5]


def test_inertia_of_a_single_k_is_a_picture_too():
    assert plots.png(plots.inertia(inertia_table().head(1), 10, "raw")).startswith(PNG)


MEASURES = (
    "prediction_strength",
    "transfer_ari",
    "held_out_gain",
    "jaccard_mean",
    "jaccard_min",
    "silhouette",
    "activity_share",
)


def k_table(ks=(2, 3, 4)):
    ks = np.array(ks)
    table = {"k": ks}
    for i, measure in enumerate(MEASURES):
        table[measure] = 0.9 - 0.1 * i - 0.01 * ks
        table[f"{measure}_null"] = 0.2 - 0.01 * ks
    return table | {"transfer_ari_se": np.full(len(ks), 0.05)}


def k_figure(table, supported=(2, 3), recommended=3):
    return plots.k_evidence(
        table,
        thresholds={"transfer_ari": 0.65, "jaccard_mean": 0.75},
        supported=supported,
        recommended=recommended,
        n_silhouette=1234,
    )


def test_the_evidence_for_k_stands_beside_the_nulls():
    table = k_table()
    figure = k_figure(table)
    assert figure.get_suptitle().endswith("largest supported k: 3")
    shown = [name for name in MEASURES if name != "jaccard_min"]
    for ax, measure in zip(figure.axes, shown, strict=True):
        assert curve(ax, "these data") == ([2, 3, 4], table[measure].tolist())
        assert curve(ax, "null: no segments") == ([2, 3, 4], table[f"{measure}_null"].tolist())
        bands = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
        assert [(band.x0, band.x1) for band in bands] == [
            (pytest.approx(k - 0.5), pytest.approx(k + 0.5)) for k in (2, 3)
        ]
        assert whole_numbers(ax.get_xticks())
    strength, transfer, _, stability, silhouette, _ = figure.axes
    assert not strength.collections
    (error,) = transfer.collections
    assert error.get_datalim(transfer.transData).ymax == pytest.approx(0.78 + 0.05)
    assert [line.get_ydata()[0] for line in transfer.lines if len(line.get_xdata()) == 2] == [0.65]
    assert stability.lines[2].get_ydata().tolist() == table["jaccard_min"].tolist()
    assert "1,234 customers" in silhouette.texts[0].get_text()
    assert strength.get_ylim() == (0, 1)
    assert "needed: 0.65" in transfer.texts[0].get_text()
    assert "needed: 0.75" in stability.texts[0].get_text()


def test_measures_that_end_at_1_are_drawn_on_all_of_it():
    """What transfer must reach is in sight where no k comes near it, and a small share looks small."""
    table = k_table() | {name: np.array([0.2, 0.3, 0.1]) for name in MEASURES}
    limits = [ax.get_ylim() for ax in k_figure(table, (), None).axes]
    assert [limit == (0, 1) for limit in limits] == [True, True, False, True, True, True]


def test_a_gain_of_more_than_a_bit_is_seen():
    table = k_table() | {"held_out_gain": np.array([0.8, 1.2, 1.4])}
    assert k_figure(table).axes[2].get_ylim()[1] > 1.4


def test_evidence_that_is_undefined_or_supports_nothing_is_a_picture_too():
    table = k_table()
    for measure in ("transfer_ari", "transfer_ari_null", "transfer_ari_se", "silhouette"):
        table[measure] = np.full(3, np.nan)
    table["held_out_gain"] = np.array([-0.3, np.nan, -0.1])
    figure = k_figure(table, (), None)
    assert figure.get_suptitle().endswith("no supported k")
    assert figure.axes[2].get_ylim()[0] == -0.3
    assert figure.axes[1].get_ylim()[0] == 0
    assert plots.png(figure).startswith(PNG)


def luminance(color):
    parts = np.array(to_rgb(color))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast_to_white(color):
    """Return the contrast ratio of WCAG 2.2: letters need 4.5, all else that is to be seen 3."""
    return 1.05 / (luminance(color) + 0.05)


@pytest.mark.parametrize("name", ["k_evidence", "segment_sizes"])
def test_letters_and_bars_are_dark_enough_to_be_seen(name):
    figure = FIGURES[name]()
    letters = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert letters
    assert min(contrast_to_white(text.get_color()) for text in letters) >= 4.5
    if name == "segment_sizes":
        bars = figure.axes[0].patches
        assert min(contrast_to_white(bar.get_facecolor()) for bar in bars) >= 3


def test_segment_sizes_show_customers_beside_interactions():
    (ax,) = plots.segment_sizes(*SIZES).axes
    heights = [round(bar.get_height(), 6) for bar in ax.patches]
    assert heights == [0.5, 0.3, 0.2, 0.2, 0.3, 0.5]
    assert tick_labels(ax.xaxis) == ["0", "1", "2"]
    assert tick_labels(ax.yaxis)[:3] == ["0%", "10%", "20%"]
    assert ax.get_xlabel() == "segment"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "customers",
        "interactions",
    ]


def test_confusion_matrices_stand_side_by_side_shaded_by_the_share_of_the_row():
    left, right, bar = plots.confusion_matrix(evaluations()).axes
    assert left.get_title() == "in-sample: 100.0% agree"
    assert right.get_title() == "cross-validated: 33.3% agree"
    assert left.get_ylabel() == "segment"
    assert "naive Bayes" in left.get_xlabel()
    assert "share" in bar.get_ylabel()
    assert np.allclose(left.images[0].get_array(), np.eye(3))
    assert np.allclose(right.images[0].get_array(), 1 / 3)
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0, 1)
    numbers = {tuple(map(int, t.get_position())): t.get_text() for t in left.texts}
    assert numbers == {(0, 0): "1", (1, 1): "2", (2, 2): "3"}
    assert left.get_xticks().tolist() == left.get_yticks().tolist() == [0, 1, 2]


def test_a_confusion_matrix_is_drawn_rows_down_columns_across():
    """Two customers of segment 0 predicted as 1: row 0, column 1. Where nobody is, no number stands."""
    left, _ = plots.confusion_matrix({"in_sample": Agreement(np.array([[5, 2], [0, 1]]))}).axes
    numbers = {tuple(map(int, t.get_position())): t.get_text() for t in left.texts}
    assert numbers == {(0, 0): "5", (1, 0): "2", (1, 1): "1"}
    assert np.allclose(left.images[0].get_array(), [[5 / 7, 2 / 7], [0, 1]])
    assert [text.get_color() == "white" for text in left.texts] == [True, False, True]
    assert left.yaxis_inverted()


@pytest.mark.parametrize(
    ("k", "numbers", "n_ticks"),
    [(12, (12, 144), 12), (13, (0, 0), 13), (31, (0, 0), 7), (1500, (0, 0), 3)],
)
def test_large_confusion_matrices_leave_out_numbers_and_ticks(k, numbers, n_ticks):
    left, right, _ = plots.confusion_matrix(evaluations(k)).axes
    assert (len(left.texts), len(right.texts)) == numbers
    assert len(left.get_xticks()) == len(left.get_yticks()) == n_ticks
    assert not len(right.get_yticks())


@pytest.mark.parametrize(("customers", "n_numbers"), [(999, 12), (99_999, 0)])
def test_customers_are_not_given_in_numbers_that_have_no_room(customers, n_numbers):
    counts = np.diag(np.full(12, customers))
    left, _ = plots.confusion_matrix({"in_sample": Agreement(counts)}).axes
    assert len(left.texts) == n_numbers


def tiny_shares():
    return variance_table(12).assign(
        sample_ratio=1e-6,
        null_mean=2e-7,
        null_limit=1e-6,
        prediction_error=1,
        null_prediction_error=1,
    )


CROWDED = FIGURES | {
    "explained_variance of tiny shares": lambda: plots.explained_variance(
        tiny_shares(), "tfidf", suggestions=SUGGESTIONS
    ),
    "k_evidence": lambda: k_figure(k_table(range(2, 51))),
    "k_evidence of small gains": lambda: k_figure(
        k_table() | {"held_out_gain": np.array([-0.00025, 0.00045, 0.0003])}
    ),
    "segment_sizes of 60": lambda: plots.segment_sizes(np.full(60, 1 / 60), np.full(60, 1 / 60)),
    **{
        f"confusion_matrix of {k}": partial(lambda k: plots.confusion_matrix(evaluations(k)), k)
        for k in (2, 26, 1500)
    },
}


@pytest.mark.parametrize("draw", CROWDED.values(), ids=CROWDED)
def test_nothing_runs_out_of_a_picture_or_into_another_panel(draw):
    """What is written around axes gets margins that are given, not measured."""
    figure = draw()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [ax.get_tightbbox(renderer) for ax in figure.axes]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for box in boxes:
        assert 0 < box.x0 < box.x1 < figure.bbox.x1
        assert 0 < box.y0 < box.y1 < figure.bbox.y1
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


SHEET = (210 - 2 * 14) / 25.4
"""How wide the page is on A4 between its margins, in inches; Letter is wider."""


@pytest.mark.parametrize("draw", CROWDED.values(), ids=CROWDED)
def test_on_paper_letters_have_seven_points(draw):
    figure = draw()
    letters = [text for text in figure.findobj(Text) if text.get_text().strip()]
    least = min(text.get_fontsize() for text in letters)
    assert least * min(1, SHEET / figure.get_figwidth()) >= 7


@pytest.mark.parametrize(("k", "n_ticks"), [(27, 27), (28, 6), (600, 12)])
def test_of_many_segments_some_are_labelled(k, n_ticks):
    figure = plots.segment_sizes(np.full(k, 1 / k), np.full(k, 1 / k))
    assert len(figure.axes[0].get_xticks()) == n_ticks


def test_a_segment_without_customers_is_shaded_zero():
    left, _ = plots.confusion_matrix({"in_sample": Agreement(np.array([[3, 0], [0, 0]]))}).axes
    assert left.images[0].get_array().tolist() == [[1, 0], [0, 0]]


def test_pictures_need_no_pyplot():
    """It would bring global state, and a window system where there is none."""
    program = (
        "import sys, numpy as np; from segcli import plots;"
        "plots.png(plots.segment_sizes(np.ones(1), np.ones(1)));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("n", [10, 12])
def test_running_shares_are_noted_at_the_component_that_reaches_them(n):
    rising = variance_table(n).assign(cumulative=np.arange(1, n + 1) / 12)
    (note,) = plots.explained_variance(rising, "raw").axes[1].texts
    assert (note.get_text(), note.xy) == ("10: 83%", (10, pytest.approx(10 / 12)))


def test_the_line_of_the_nulls_shares_is_their_mean():
    from test_plots import SUGGESTIONS, evidence_table

    left = plots.explained_variance(evidence_table(12), "raw", suggestions=SUGGESTIONS).axes[0]
    assert left.lines[0].get_ydata().tolist() == [0.04] * 12


def test_the_least_stable_segment_of_the_nulls_is_dotted_too_and_errors_go_both_ways():
    data = k_table() | {"jaccard_min_null": np.array([0.11, 0.12, 0.13])}
    _, transfer, _, stability, *_ = k_figure(data).axes
    null, real, least, least_null, _ = stability.lines
    assert least_null.get_ydata().tolist() == [0.11, 0.12, 0.13]
    assert least_null.get_color() == null.get_color() != real.get_color() == least.get_color()
    (error,) = transfer.collections
    assert error.get_datalim(transfer.transData).ymin == pytest.approx(0.76 - 0.05)


@pytest.mark.parametrize("supported", [(2, 3, 4), ()])
def test_one_legend_of_all_panels_stands_beside_the_title_and_covers_no_curve(supported):
    figure = k_figure(k_table(), supported, max(supported, default=None))
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["null: no segments", "these data", "supported"][: 3 if supported else 2]
    assert not any(ax.get_legend() for ax in figure.axes)
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert not box.overlaps(figure._suptitle.get_window_extent())
    assert not any(box.overlaps(ax.get_tightbbox()) for ax in figure.axes)


def test_inertia_of_one_segment_is_not_cut():
    table = inertia_table()
    table.loc[0, ["k", "inertia_reduced_share", "inertia_full_share"]] = 1
    for shown, least in ((table, 1.02), (inertia_table(), 1.0)):
        (ax,) = plots.inertia(shown, 10, "raw").axes
        assert ax.get_ylim()[0] == 0
        assert least <= ax.get_ylim()[1] < 1.1


def test_inertia_has_the_colours_that_the_page_says():
    (ax,) = plots.inertia(inertia_table(), 10, "raw").axes
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert colours == {"10 components": BLUE, "full matrix": ORANGE}


def test_small_shares_have_the_decimals_that_their_ticks_need():
    (ax,) = plots.segment_sizes(np.array([0.005, 0.004]), np.array([0.003, 0.002])).axes
    shown = ax.yaxis.get_major_formatter()
    assert [shown(share) for share in (0.0, 0.0025, 0.1, 1.0)] == ["0%", "0.25%", "10%", "100%"]
