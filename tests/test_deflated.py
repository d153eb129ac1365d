"""A sparse matrix less one of low rank, beside its dense form."""

import numpy as np
import pytest
import scipy.sparse as sp

from segcli import progress
from segcli.engine import ONE_THREAD
from segcli.numerics.deflated import Deflated, leading_singular
from segcli.numerics.weighting import NAMES, fit_weighting


def weighted(X, name):
    return fit_weighting(ONE_THREAD.blocks(X), name).apply(X)


def dense(matrix):
    return matrix.toarray()


@pytest.fixture
def deflated():
    rng = np.random.default_rng(1)
    sparse = sp.random_array((9, 6), density=0.4, rng=rng, format="csr")
    return Deflated(sparse, rng.standard_normal((9, 2)), rng.standard_normal((6, 2)))


def as_dense(matrix):
    return matrix.sparse.toarray() - matrix.left @ matrix.right.T


def test_deflated_is_what_its_dense_form_is(deflated):
    M = as_dense(deflated)
    W = np.random.default_rng(2).standard_normal((6, 3))
    rows, columns = np.array([5, 0, 7]), np.array([4, 1])
    assert deflated.shape == M.shape
    assert np.allclose(deflated @ W, M @ W)
    assert np.allclose(deflated.T @ M[:, :2], M.T @ M[:, :2])
    assert np.allclose(as_dense(deflated.block(rows, columns)), M[np.ix_(rows, columns)])
    assert np.allclose(deflated.column_means(), M.mean(axis=0))
    assert np.allclose(as_dense(deflated.centred(M.mean(axis=0))), M - M.mean(axis=0))
    assert np.isclose(deflated.squared_norm(), (M**2).sum())


@pytest.mark.parametrize("name", NAMES)
def test_every_weighted_matrix_has_this_form(ratings, name):
    matrix = weighted(ratings, name)
    assert np.allclose(as_dense(Deflated.of(matrix)), dense(matrix))


@pytest.mark.parametrize("transposed", [False, True], ids=["tall", "wide"])
def test_leading_singular_triplets(deflated, transposed):
    matrix = deflated.T if transposed else deflated
    M = as_dense(matrix)
    heard = []
    with progress.listening(lambda *step: heard.append(step)):
        U, s, V = leading_singular(matrix, 3, np.random.default_rng(0))
    assert not heard  # one of many, which whoever asks for them counts
    assert np.allclose(s, np.linalg.svd(M, compute_uv=False)[:3], rtol=1e-3)
    assert np.allclose(M @ V, U * s, atol=1e-6)
    assert np.allclose(V.T @ V, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (6, 4)])
def test_triplets_of_no_size_are_left_out(shape, rank):
    rng = np.random.default_rng(rank)
    M = rng.random((shape[0], rank)) @ rng.random((rank, shape[1]))
    U, s, V = leading_singular(Deflated.of(sp.csr_array(M)), 9, np.random.default_rng(0))
    assert (U.shape, s.shape, V.shape) == ((shape[0], rank), (rank,), (shape[1], rank))
    assert np.allclose((U * s) @ V.T, M, atol=1e-6)
