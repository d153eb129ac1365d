"""Bi-cross-validation against its definition."""

import numpy as np
import pytest
import scipy.sparse as sp
from test_deflated import dense, weighted

from segcli.engine import ONE_THREAD
from segcli.numerics.bi_cross_validation import BiCrossValidation, _over_folds, bi_cross_validate
from segcli.numerics.deflated import Deflated
from segcli.numerics.ranks import Ranks, rank, shuffled
from segcli.numerics.weighting import NAMES


def in_position(n, m):
    return Ranks(np.arange(n), np.arange(m))


def by_the_book(M, ranks, n_components, n_folds, seed):
    """Owen & Perry (2009), equation 3.1, dense: A is predicted by B pinv(D_p) C."""
    totals, errors = [], []
    for fold in range(n_folds):
        rng = np.random.default_rng([seed, 31, 3, fold])
        customers, items = shuffled(ranks.customers, rng), shuffled(ranks.items, rng)
        out_rows, in_rows = np.split(customers, [len(customers) // 2])
        out_columns, in_columns = np.split(items, [len(items) // 2])
        centred = M - M[in_rows].mean(axis=0)
        A, B = centred[np.ix_(out_rows, out_columns)], centred[np.ix_(out_rows, in_columns)]
        C, D = centred[np.ix_(in_rows, out_columns)], centred[np.ix_(in_rows, in_columns)]
        U, s, Vt = np.linalg.svd(D, full_matrices=False)
        totals.append((A**2).sum())
        errors.append(
            [
                ((A - B @ np.linalg.pinv(U[:, :p] * s[:p] @ Vt[:p], rcond=1e-9) @ C) ** 2).sum()
                for p in range(n_components + 1)
            ]
        )
    by_fold = np.array(errors) / np.array(totals)[:, None]
    return np.sum(errors, axis=0) / np.sum(totals), by_fold


@pytest.mark.parametrize("name", NAMES)
def test_bi_cross_validation_is_equation_3_1(ratings, name):
    matrix = weighted(ratings, name)
    ranks = rank(ONE_THREAD.blocks(ratings))
    (found,) = bi_cross_validate(
        [Deflated.of(matrix)], ranks=ranks, n_components=7, n_folds=3, seed=4
    )
    errors, by_fold = by_the_book(dense(matrix), ranks, 7, 3, 4)
    assert np.allclose(found.errors, errors, rtol=1e-3)
    assert np.allclose(found.by_fold, by_fold, rtol=1e-3)
    assert found.errors[0] == 1


def test_components_that_a_block_does_not_have_change_nothing(ratings):
    matrix = weighted(ratings, "raw")
    ranks = in_position(*ratings.shape)
    (found,) = bi_cross_validate(
        [Deflated.of(matrix)], ranks=ranks, n_components=13, n_folds=2, seed=0
    )
    errors, _ = by_the_book(dense(matrix), ranks, 13, 2, 0)  # a block has ten items
    assert found.errors.shape == (14,)
    assert np.allclose(found.errors, errors, rtol=1e-3)
    assert np.ptp(found.errors[10:]) == 0


@pytest.mark.parametrize("r", [1, 3, 5])
def test_data_of_rank_r_are_predicted_whole_by_r_components(r):
    rng = np.random.default_rng(r)
    M = rng.standard_normal((80, r)) @ rng.standard_normal((r, 60)) + rng.standard_normal(60)
    (found,) = bi_cross_validate(
        [Deflated.of(sp.csr_array(M))], ranks=in_position(80, 60), n_components=8, n_folds=3, seed=0
    )
    assert found.errors[r - 1] > 1e-3
    assert np.all(np.abs(found.errors[r:]) < 1e-8)
    noisy = sp.csr_array(M + 0.5 * rng.standard_normal(M.shape))
    (found,) = bi_cross_validate(
        [Deflated.of(noisy)], ranks=in_position(80, 60), n_components=8, n_folds=3, seed=0
    )
    assert found.n_components == r


def test_the_fewest_components_within_one_standard_error_of_the_least():
    """Least at p = 3. From p = 2 up by .01, .02 and .03 in three folds: .02 with an error of .0058."""
    flat = np.array([[1, 0.7, 0.51, 0.5], [1, 0.7, 0.52, 0.5], [1, 0.7, 0.53, 0.5]])
    assert BiCrossValidation(flat.mean(axis=0), flat).n_components == 3
    # Up by -.01, 0 and .03: .0067 with an error of .012.
    flat[:, 2] = [0.49, 0.5, 0.53]
    assert BiCrossValidation(flat.mean(axis=0), flat).n_components == 2
    assert BiCrossValidation(flat[2], flat[2:]).n_components == 3  # one fold has no error
    assert BiCrossValidation(np.array([1, 1.1]), np.array([[1, 1.1]])).n_components == 0


def test_noise_is_predicted_by_nothing():
    noise = sp.csr_array(np.random.default_rng(0).standard_normal((100, 50)))
    (found,) = bi_cross_validate(
        [Deflated.of(noise)], ranks=in_position(100, 50), n_components=8, n_folds=4, seed=0
    )
    assert found.n_components == 0
    assert np.all(np.diff(found.errors) > 0)


def test_where_nothing_varies_nothing_is_predicted():
    same = Deflated.of(sp.csr_array(np.tile([1.0, 0, 2, 5], (8, 1))))
    (found,) = bi_cross_validate([same], ranks=in_position(8, 4), n_components=2, n_folds=2, seed=0)
    assert found.errors.tolist() == [1, 1, 1]
    assert found.n_components == 0


@pytest.mark.parametrize(
    ("third", "n_components"),
    [
        ([0.49, 0.51, 0.53], 2),  # up by .01, with an error of .0115 (.0094 if divided by n)
        ([0.494, 0.514, 0.534], 3),  # up by .014, where the folds' spread is .02
    ],
)
def test_the_error_is_that_of_a_mean_over_folds(third, n_components):
    flat = np.array([[1, 0.7, error, 0.5] for error in third])
    assert BiCrossValidation(flat.mean(axis=0), flat).n_components == n_components


def test_an_error_is_below_anothers_by_three_standard_errors_over_the_same_folds():
    def of(*least):
        folds = np.array([[1, error, 0.9] for error in least])
        return BiCrossValidation(folds.mean(axis=0), folds)

    null = of(0.5, 0.6, 0.7, 0.8)
    # .04, .02, .04, .01 below: .0275 on average, with an error of .0075
    assert of(0.46, 0.58, 0.66, 0.79).is_below(null)
    # .04, .01, .04, .01 below: .025, with an error of .0087
    assert not of(0.46, 0.59, 0.66, 0.79).is_below(null)
    assert not null.is_below(null)
    assert not null.is_below(of(0.46, 0.58, 0.66, 0.79))


def test_over_all_folds_each_counts_by_what_there_is_to_predict():
    folds = [(1.0, np.array([1.0, 0.5])), (9.0, np.array([9.0, 9.0]))]
    found = _over_folds(folds, 1)
    assert found.errors.tolist() == [1, 0.95]
    assert found.by_fold.tolist() == [[1, 0.5], [1, 1]]
