"""The largest eigenpairs of a symmetric operator, and when to believe them.

A block Krylov method with full re-orthogonalisation and thick restarts needs few passes over the data,
and its residuals, which come free, say when to stop.

References
----------
Golub & Underwood (1977), "The block Lanczos method for computing eigenvalues", Mathematical Software
III, 361-377. Wu & Simon (2000), "Thick-restart Lanczos method for large symmetric eigenvalue
problems", SIAM J. Matrix Anal. Appl. 22, 602-616.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.linalg

from segcli import progress
from segcli.errors import ChoiceError

TOLERANCE = 1e-5
"""Largest error of an eigenvalue, as a share of itself, by its residual."""

WIDTH = 8
"""Columns of a block. More passes over fewer columns reach as far with three quarters of the products that
16 columns take, of which each is the faster the more of them stays in a processor's cache."""

OVERSAMPLING = 16
"""Pairs kept at a restart beside those that are wanted."""

_MAX_BASIS = 4
_MAX_CONFIRMATIONS = 2
_LEAST_GAP = 0.05
_MAX_COLUMNS = 300 * 16
_ROUNDING = 100 * float(np.finfo(float).eps)
_TINY = float(np.finfo(float).tiny)
_ROWS = 4096
_FEW_OF_ALL = 5
"""To find one pair in so many takes as long as to find all."""

_DECADES = 1.0
"""How much the largest error falls in a pass, at most or nearly so on many sets of data: where it has
farther to fall, nobody need look whether it has."""


def leading_eigenpairs(
    operator: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    n_pairs: int,
    *,
    tolerance: float = TOLERANCE,
    n_more: int = 0,
    rounding: float = _ROUNDING,
    max_basis: int = _MAX_BASIS,
    precision: type[np.floating] = np.float64,
    patience: int = _MAX_COLUMNS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a symmetric positive semi-definite operator, and vectors.

    It stops when the residuals say that no eigenvalue is off by more than ``tolerance`` times itself,
    or when all that is left may be rounding. With ``r`` the length of a pair's residual and ``g`` the
    distance to the eigenvalues that are not wanted, it is off by at most ``min(r, r² / g)`` (Parlett
    1998, "The Symmetric Eigenvalue Problem", section 11.7). Where the last wanted and the first
    unwanted are neighbours in a flat spectrum, as that of noise, ``g`` is taken as a twentieth of the
    eigenvalue: near pairs mix, which changes the vectors and hardly the values.

    Parameters
    ----------
    operator : takes and returns an ndarray of shape (n, b); one pass over the data
        It may be written into.
    start : ndarray of shape (n, b), random, or near the vectors that are sought
    n_pairs : int
    tolerance : largest error of an eigenvalue as a share of itself
    n_more : int
        So many pairs that have not converged are returned too, to start again from.
    rounding : what the operator may be wrong by, as a share of the largest eigenvalue
    max_basis : int
        The basis has at most so many vectors for each pair kept at a restart, and a block.
    precision : of the basis, what the operator takes, and the vectors returned
    patience : int
        Give up when the largest error has not halved in so many columns: then rounding is in the way.

    Returns
    -------
    eigenvalues : ndarray of shape (m,), descending
        m = n_pairs + n_more, or the operator's rank if that is smaller.
    vectors : ndarray of shape (n, m)
    """
    n, width = start.shape
    n_kept = n_pairs + max(n_more, OVERSAMPLING)
    max_columns = min(max_basis * n_kept + width, n)
    # Columns lie one after another, so that a few of them are one piece of memory.
    basis = np.empty((n, max_columns), precision, order="F")
    T = np.empty((0, 0))
    following, _ = _orthonormal(np.array(start, precision, order="F"), 0.0)
    largest = 0.0
    previous = 0
    least_error, improved = np.inf, 0
    next_look = 1
    for n_pass in range(1, _MAX_COLUMNS // width + 1):
        size = len(T) + following.shape[1]
        block = basis[:, len(T) : size]
        block[:] = following
        del following  # its memory is the image's
        image = operator(block)
        known = basis[:, :size]
        # But for rounding, the image reaches back no further than to the block before.
        near = basis[:, previous:size]
        projection = np.zeros((size, block.shape[1]))
        projection[previous:] = _inner_products(near, image)
        _subtract(image, near, projection[previous:])
        largest = max(largest, float(np.linalg.norm(projection, axis=0).max()))
        negligible = rounding * largest
        following, R = _orthonormal(image, negligible)
        # Twice is enough (Giraud et al. 2005). The second time from the whole basis, and after scaling,
        # where what is left of the basis in a short direction shows.
        correction = _inner_products(known, following)
        projection += correction @ R
        if following.shape[1]:
            _subtract(following, known, correction)
            following, again = scipy.linalg.qr(following, mode="economic", overwrite_a=True)
            R = again @ R
        T = _bordered(T, projection)
        progress.report("principal components", n_pass)
        previous = size - block.shape[1]
        is_full = size + following.shape[1] > max_columns
        if is_full and max_columns == n:  # rounding: there is no room for another direction
            following = following[:, : n - size]
        if n_pass < next_look and not is_full and following.shape[1]:
            continue
        values, vectors = dense_eigenpairs(T, n_kept)
        m = min(n_pairs, len(values))
        returned = min(n_pairs + n_more, len(values))
        residuals = np.linalg.norm(R @ vectors[-block.shape[1] :, :m], axis=0)
        worst = _worst_error(values, residuals, negligible)
        error = float((residuals / np.maximum(values[:m], max(negligible, _TINY))).max())
        if error <= least_error / 2 or m < n_pairs:
            least_error, improved = error, n_pass
        if (worst <= tolerance and m == n_pairs) or following.shape[1] == 0:
            return np.maximum(values[:returned], 0.0), _combined(known, vectors[:, :returned])
        if (n_pass - improved) * width >= patience:
            break
        decades = np.log10(max(worst / tolerance, 1.0))
        next_look = n_pass + max(int(decades / _DECADES), 1)
        if is_full and max_columns < n:
            _combine(known, vectors)
            T = np.diag(values)
            previous = 0
    msg = f"the principal components did not converge in {n_pass} passes"
    raise ChoiceError(msg)


def confirmed_eigenpairs(
    operator: Callable[[np.ndarray], np.ndarray],
    vectors: np.ndarray,
    n_pairs: int,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the leading eigenpairs if double precision finds them in the span of vectors.

    By the Rayleigh-Ritz method. Another pass, which is a step of subspace iteration, takes out what
    rounding left of the small eigenvalues' vectors; more would gain little. None if the residuals say
    that this does not do.
    """
    if vectors.shape[1] < n_pairs:
        return None
    V: np.ndarray = vectors.astype(np.float64, order="F")
    del vectors
    for _ in range(_MAX_CONFIRMATIONS):
        V, _ = scipy.linalg.qr(V, mode="economic", overwrite_a=True)
        image = operator(V)
        T = _inner_products(V, image)
        values, rotation = dense_eigenpairs((T + T.T) / 2, len(T))
        residuals = _residual_norms(V, image, T, rotation[:, :n_pairs])
        if _worst_error(values, residuals, _ROUNDING * values[0]) <= tolerance:
            _combine(V, rotation[:, :n_pairs])
            return np.maximum(values[:n_pairs], 0.0), V[:, :n_pairs]
        V = image
    return None


def dense_eigenpairs(A: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a symmetric matrix, descending, and their vectors."""
    n = len(A)
    few = n_pairs * _FEW_OF_ALL < n
    if few:
        values, vectors = scipy.linalg.eigh(A, subset_by_index=[n - n_pairs, n - 1])
    # Of many that are the same, LAPACK may find fewer than were asked for, or none.
    if not few or len(values) < n_pairs:
        values, vectors = scipy.linalg.eigh(A, driver="evd")
    return values[::-1][:n_pairs], vectors[:, ::-1][:, :n_pairs]


def _worst_error(values: np.ndarray, residuals: np.ndarray, negligible: float) -> float:
    """Return how far a wanted eigenvalue can be off, as a share of itself, at most 1.

    One that may be rounding does not count.

    Parameters
    ----------
    values : ndarray, the wanted eigenvalues and then the others, descending
    residuals : ndarray of shape (n_wanted,)
    negligible : a residual up to which an eigenvalue may be rounding
    """
    wanted, others = np.split(values, [len(residuals)])
    beyond = others[0] if len(others) else 0.0
    gaps = np.maximum(wanted - beyond, _LEAST_GAP * wanted)
    # min(r, r² / g), without overflow.
    errors = residuals**2 / np.maximum(np.maximum(gaps, residuals), _TINY)
    counts = residuals > negligible
    shares = errors[counts] / np.maximum(wanted, errors)[counts]
    return float(shares.max(initial=0.0))


def _residual_norms(
    V: np.ndarray, image: np.ndarray, T: np.ndarray, rotation: np.ndarray
) -> np.ndarray:
    """Return the lengths of ``(image - V T) rotation``'s columns: how far V's pairs are off."""
    squares = np.zeros(rotation.shape[1])
    for rows in _row_slices(len(V)):
        squares += np.sum(((image[rows] - V[rows] @ T) @ rotation) ** 2, axis=0)
    return np.sqrt(squares)


def _bordered(T: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the projected operator, symmetric, with the newest block's columns added."""
    old, size = len(T), len(columns)
    grown = np.empty((size, size))
    grown[:old, :old] = T
    grown[:, old:] = columns
    grown[old:, :old] = columns[:old].T
    corner = grown[old:, old:]
    grown[old:, old:] = (corner + corner.T) / 2
    return grown


def _orthonormal(W: np.ndarray, negligible: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and R with W = QR, leaving out directions no longer than ``negligible``; W is lost."""
    Q, R, pivots = scipy.linalg.qr(W, mode="economic", pivoting=True, overwrite_a=True)
    rank = int(np.count_nonzero(np.abs(np.diag(R)) > negligible))
    unpivoted = np.empty_like(R[:rank])
    unpivoted[:, pivots] = R[:rank]
    return Q[:, :rank], unpivoted


def _row_slices(n_rows: int) -> Iterator[slice]:
    """Yield slices of a few rows each: what is done to one needs no second array of all."""
    for start in range(0, n_rows, _ROWS):
        yield slice(start, start + _ROWS)


def _inner_products(V: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return ``V'W`` in double precision, whatever the precision of V and W."""
    products = np.zeros((V.shape[1], W.shape[1]))
    for rows in _row_slices(len(V)):
        products += V[rows].T @ W[rows]
    return products


def _subtract(W: np.ndarray, V: np.ndarray, coefficients: np.ndarray) -> None:
    """Subtract ``V @ coefficients`` from W, in place."""
    coefficients = coefficients.astype(W.dtype)
    for rows in _row_slices(len(W)):
        W[rows] -= V[rows] @ coefficients


def _combine(V: np.ndarray, coefficients: np.ndarray) -> None:
    """Write ``V @ coefficients`` into the first columns of V."""
    coefficients = coefficients.astype(V.dtype)
    for rows in _row_slices(len(V)):
        V[rows, : coefficients.shape[1]] = V[rows] @ coefficients


def _combined(V: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return ``V @ coefficients`` in the precision of V, columns one after another."""
    return np.asarray((coefficients.T.astype(V.dtype) @ V.T).T)
