"""How much it counts for k-means how far a customer lies from the average one: the norm of the scores.

A few customers whose tastes are rare, or pronounced, lie many times as far out as the others. Squared
distances make k-means spend its segments on them, and which of them there are differs from one half
of the customers to the other. Dividing each customer's scores by their norm leaves only the direction
of the taste, which is how documents and the rows of spectral embeddings are clustered: it also undoes
that active customers lie farther out. But it makes as much of those who show hardly any taste, and a
small segment beside one mass of average customers is lost in that.

The logarithm of one plus the norm lies between the two. Near the average it leaves customers where they
are; far out it brings them in. A segment of one customer in ten beside a mass is found again; of one in
fifty it is lost here too, and only norms that are kept show it. `segcli.numerics.recipe_comparison`
measures what each makes of the user's own data.

References
----------
Dhillon & Modha (2001), "Concept decompositions for large sparse text data using clustering", Machine
Learning 42, 143-175. Ng, Jordan & Weiss (2001), "On spectral clustering: analysis and an algorithm",
NIPS 14. Qin & Rohe (2013), "Regularized spectral clustering under the degree-corrected stochastic
blockmodel", NIPS 26. Raymaekers & Rousseeuw (2019), "A generalized spatial sign covariance matrix", J.
Multivar. Anal. 171, 94-111, on other functions of the norm.
"""

from __future__ import annotations

import numpy as np

from segcli.engine.rows import squared_norms

KEPT, LOGARITHM, UNIT = "kept", "log", "unit"
SCORE_NORMS = (KEPT, LOGARITHM, UNIT)

DESCRIPTIONS = {
    KEPT: "as much as it is",
    LOGARITHM: "on a logarithmic scale, so that a few who lie far out do not decide",
    UNIT: "not at all, only in which direction",
}
"""How much it counts how far a customer's scores lie from the average ones."""

_NEGLIGIBLE = 1e-9
"""Of the typical norm: what rounding leaves of a customer who is like the average."""


def usual_score_norm(weighting: str) -> str:
    """Return what is done for a weighting unless another is asked for; ``raw`` leaves all as it is."""
    return KEPT if weighting == "raw" else LOGARITHM


def normalized(scores: np.ndarray, score_norm: str, typical: float) -> np.ndarray:
    """Return scores in the same directions, with norms as ``score_norm`` says.

    Parameters
    ----------
    scores : ndarray of shape (n, n_components), about a mean of 0
    score_norm : one of `SCORE_NORMS`
        What becomes of a norm r: it stays; ``typical * log(1 + r / typical)``; 1, or 0 where it is
        nothing but rounding.
    typical : the square root of the scores' total variance, about the norms' root mean square; above 0
    """
    if score_norm == KEPT:
        return scores
    norms = np.sqrt(squared_norms(scores))
    if score_norm == UNIT:
        norms[norms <= _NEGLIGIBLE * typical] = np.inf
        return np.asarray(scores / norms[:, None])
    shares = norms / typical
    factors = np.divide(np.log1p(shares), shares, out=np.ones(len(shares)), where=shares > 0)
    return np.asarray(scores * factors[:, None])
