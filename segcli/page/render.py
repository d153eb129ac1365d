"""Fill the page's template."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2


def render(
    *,
    choices: Sequence[tuple[str, str, str]],
    n_customers: int,
    n_items: int,
    n_interactions: int,
    validation: Mapping[str, Any] | None,
    pictures: Mapping[str, bytes],
    sizes_plot: bytes,
    summary: Sequence[Mapping[str, Any]],
    top_items: Mapping[int, Sequence[Mapping[str, Any]]],
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    choices : (stage, choice, value) for each choice made
    validation : the document of `validation.json`, or None if the segments were not validated
    pictures : PNG bytes by artifact name; those of stages that have not run are left out
    summary : the rows of `segment_summary.csv`
    top_items : the rows of `top_items.csv` by segment
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segcli.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("report.html.j2").render(
        choices=choices,
        n_customers=n_customers,
        n_items=n_items,
        n_interactions=n_interactions,
        validation=validation,
        pictures=pictures,
        sizes_plot=sizes_plot,
        summary=summary,
        top_items=top_items,
    )


def _data_uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
