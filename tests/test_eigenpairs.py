"""Eigenpairs of operators whose eigenvalues are known."""

import numpy as np
import pytest

from segcli.numerics import eigenpairs
from segcli.numerics.eigenpairs import (
    TOLERANCE,
    confirmed_eigenpairs,
    dense_eigenpairs,
    leading_eigenpairs,
)


def operator_with(eigenvalues, seed=0):
    n = len(eigenvalues)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    matrix = (basis * eigenvalues) @ basis.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize(
    ("eigenvalues", "n_pairs", "width"),
    [
        pytest.param([5, 5, 5, 3, 3, *np.linspace(1, 0, 55)], 5, 8, id="repeated"),
        pytest.param([2.0] * 40, 4, 6, id="all equal"),
        pytest.param(
            [4.0] * 12 + [1.0] * 48, 6, 8, id="repeated more often than the start is wide"
        ),
        pytest.param(np.linspace(1, 0.9, 50), 12, 12, id="close together, basis fills the space"),
        pytest.param(1 - np.arange(400) * 1e-3, 5, 8, id="close together, with restarts"),
        pytest.param([7, 1e-3, 1e-6, *np.zeros(30)], 3, 6, id="far apart"),
        pytest.param([3, 2, *np.zeros(30)], 4, 6, id="fewer than asked for"),
        pytest.param(np.zeros(20), 3, 5, id="all zero"),
        pytest.param([2.0], 1, 1, id="one"),
    ],
)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_leading_eigenpairs(eigenvalues, n_pairs, width, scale):
    matrix = operator_with(np.asarray(eigenvalues, dtype=float) * scale)
    start = np.random.default_rng(1).standard_normal((len(matrix), width))
    values, vectors = leading_eigenpairs(lambda W: matrix @ W, start, n_pairs)
    expected = np.asarray(eigenvalues)[:n_pairs] * scale
    assert len(values) == vectors.shape[1]
    assert np.allclose(values, expected[: len(values)], rtol=TOLERANCE, atol=1e-12 * scale)
    assert np.all(expected[len(values) :] == 0)
    assert np.all(np.diff(values) <= 0)
    assert np.allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-10)
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    assert np.all(residuals <= 1e-3 * values + 1e-12 * scale)


def test_eigenvalues_are_off_by_about_the_tolerance_at_most():
    """A flat end, as noise has it, where the residual gives an estimate and no bound."""
    matrix = operator_with(np.concatenate([[9.0, 5, 2], np.linspace(1, 0.5, 597)]))
    start = np.random.default_rng(2).standard_normal((600, 16))
    passes = {}
    for tolerance in (1e-3, 1e-5, 1e-8):
        seen = []

        def operator(W, seen=seen):
            seen.append(W.shape[1])
            return matrix @ W

        values, _ = leading_eigenpairs(operator, start, 12, tolerance=tolerance)
        expected = np.linalg.eigvalsh(matrix)[::-1][:12]
        assert np.all(np.abs(values - expected) <= 2 * tolerance * expected)
        passes[tolerance] = len(seen)
    assert passes[1e-3] < passes[1e-5] < passes[1e-8]


def test_where_it_has_far_to_go_nobody_looks_whether_it_has_arrived(monkeypatch):
    """Fewer looks, the same values, and hardly more passes."""
    matrix = operator_with(np.linspace(1, 0, 600) ** 2)
    start = np.random.default_rng(1).standard_normal((600, 8))
    looks, passes = [], []

    def look(*args, of=eigenpairs.dense_eigenpairs):
        looks.append(1)
        return of(*args)

    def operator(W):
        passes.append(1)
        return matrix @ W

    monkeypatch.setattr(eigenpairs, "dense_eigenpairs", look)
    found = {}
    for decades in (np.inf, eigenpairs._DECADES):
        looks.clear()
        passes.clear()
        monkeypatch.setattr(eigenpairs, "_DECADES", decades)
        values, _ = leading_eigenpairs(operator, start, 10, tolerance=1e-6)
        found[decades] = values, len(looks), len(passes)
    (every, n_every, n_least), (some, n_some, n_passes) = found.values()
    assert n_every == n_least
    assert n_some < 0.6 * n_every
    assert n_passes <= n_least + 1
    assert np.allclose(some, every, rtol=1e-6)


def test_a_basis_in_single_precision_is_as_good_as_that_allows():
    """With restarts: it stays orthonormal, and the values are right by the square of its rounding."""
    matrix = operator_with(1 - np.arange(400) * 1e-3)
    start = np.random.default_rng(1).standard_normal((400, 8))
    taken = set()

    def operator(W):
        taken.add(W.dtype)
        return matrix.astype(np.float32) @ W

    eps = float(np.finfo(np.float32).eps)
    values, vectors = leading_eigenpairs(
        operator,
        start,
        5,
        tolerance=1e-6,
        rounding=4 * eps,
        max_basis=2,
        precision=np.float32,
    )
    assert taken == {vectors.dtype} == {np.dtype(np.float32)}
    assert np.allclose(values, 1 - np.arange(5) * 1e-3, rtol=2e-6)
    assert np.allclose(vectors.T @ vectors, np.eye(5), atol=50 * eps)


def test_of_vectors_in_single_precision_products_are_added_in_double():
    V = np.zeros((2 * eigenpairs._ROWS, 1), np.float32)
    V[0], V[-1] = 1e4, 1  # 1e8 + 1 takes more digits than single precision has
    assert eigenpairs._inner_products(V, V).item() == 1e8 + 1


@pytest.mark.parametrize("n_more", [5, 20])
def test_more_pairs_can_be_had_to_start_again_from(n_more):
    matrix = operator_with(np.linspace(1, 0, 300))
    start = np.random.default_rng(2).standard_normal((300, 10))
    values, vectors = leading_eigenpairs(lambda W: matrix @ W, start, 4, n_more=n_more)
    assert vectors.shape == (300, 4 + n_more)
    again, _ = leading_eigenpairs(lambda W: matrix @ W, vectors, 4)
    assert np.allclose(again, values[:4], rtol=1e-7)


def test_pairs_near_the_span_of_vectors_are_confirmed_and_others_are_not():
    matrix = operator_with(np.concatenate([[9.0, 5, 2, 1.5], np.linspace(1, 0.5, 96)]))
    expected, right = (found[..., ::-1] for found in np.linalg.eigh(matrix))
    noise = np.random.default_rng(3).standard_normal((100, 6))

    def confirmed(vectors, n_pairs=3):
        return confirmed_eigenpairs(lambda W: matrix @ W, vectors, n_pairs, TOLERANCE)

    values, vectors = confirmed((right[:, :6] + 1e-5 * noise).astype(np.float32))
    assert np.allclose(values, expected[:3], rtol=1e-7)
    assert np.allclose(np.abs((vectors * right[:, :3]).sum(axis=0)), 1, atol=1e-7)
    assert confirmed(noise) is None
    assert confirmed(right[:, :2]) is None


@pytest.mark.parametrize(("off", "n_passes", "is_found"), [(3, 1, 1), (5, 2, 1), (10, 2, 0)])
def test_what_is_not_yet_right_may_be_after_another_pass(off, n_passes, is_found):
    """The third vector is off in a direction beyond the span, of half its value, by so many thousandths.

    By the residual, and the fourth value, the third is then off by the square of that, as a share.
    """
    values, passes = np.array([9, 5, 2, 1.5, 1]), []
    vectors = np.eye(5)[:, :4]
    vectors[4, 2] = off / 1000

    def operator(W):
        passes.append(1)
        return values[:, None] * W

    found = confirmed_eigenpairs(operator, vectors, 3, 1e-5)
    assert (len(passes), found is not None) == (n_passes, is_found)
    if found is not None:
        assert np.allclose(found[0], values[:3], rtol=1e-5)


@pytest.mark.parametrize("n_pairs", [1, 5, 7, 29, 30, 40])
def test_few_and_many_pairs_of_a_small_matrix(n_pairs):
    matrix = operator_with(np.linspace(2, -1, 30))
    values, vectors = dense_eigenpairs(matrix, n_pairs)
    assert np.allclose(values, np.linspace(2, -1, 30)[:n_pairs])
    assert np.allclose(matrix @ vectors, vectors * values)


def test_as_many_pairs_as_asked_for_where_eigenvalues_are_the_same():
    """A bestseller and an item of one's own for each of 30 customers: LAPACK alone finds none of 29."""
    n = 30
    products = np.eye(n) - 1 / n
    for n_pairs in (1, 3):
        values, vectors = dense_eigenpairs(14.0 * products, n_pairs)
        assert values == pytest.approx([14.0] * n_pairs)
        assert vectors.shape == (n, n_pairs)


def test_a_start_that_has_converged_is_not_taken_for_all_that_was_asked_for():
    values = np.arange(30.0, 0, -1)
    rng = np.random.default_rng(0)
    start = np.eye(30)[:, :2] + 1e-7 * rng.standard_normal((30, 2))
    found, vectors = leading_eigenpairs(lambda W: values[:, None] * W, start, 4)
    assert np.allclose(found, values[:4], rtol=1e-5)
    assert vectors.shape == (30, 4)
