"""How many of the items that mark a segment customers have, by hand and counted one by one."""

import numpy as np
import scipy.sparse as sp

from segcli.engine import LocalEngine
from segcli.numerics.marks import count_having_any, count_own_marks, marks_of


def test_by_hand():
    """Items 0 and 2 mark segment 0, item 1 marks segment 1, nothing marks segment 2."""
    marks = marks_of([np.array([2, 0]), np.array([1]), np.array([], dtype=int)], 4)
    assert marks.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]]
    X = LocalEngine(1).blocks(
        sp.csr_array([[5.0, 1, 2, 0], [0, 3, 0, 1], [9, 0, 0, 1], [0, 0, 4, 0]])
    )
    labels = np.array([0, 1, 2, -1])
    assert count_own_marks(X, marks, labels)[:3].tolist() == [2, 1, 0]
    assert count_having_any(X, marks, labels).tolist() == [[1, 3], [1, 2], [0, 0]]


def test_whatever_the_engine_it_is_what_rows_show(engine, ratings):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, ratings.shape[0])
    listed = [rng.choice(ratings.shape[1], 5, replace=False) for _ in range(3)]
    X, marks = engine.blocks(ratings), marks_of(listed, ratings.shape[1])
    has = ratings.toarray() > 0
    own = [int(row[listed[label]].sum()) for row, label in zip(has, labels, strict=True)]
    assert count_own_marks(X, marks, labels).tolist() == own
    any_of = np.stack([has[:, items].any(axis=1) for items in listed], axis=1)
    inside = [int(any_of[labels == label, label].sum()) for label in range(3)]
    expected = np.stack([inside, any_of.sum(axis=0)], axis=1)
    assert count_having_any(X, marks, labels).tolist() == expected.tolist()
