"""Who is where since an earlier segmentation, and which segments are the same as then."""

import numpy as np
import pytest

from segcli.numerics.moves import count_moves


def of(segments):
    """Return a table of customers, of whom each has a letter, by segment; the last are unassigned."""
    rows = [
        (customer, segment if segment < len(segments) - 1 else -1)
        for segment, customers in enumerate(segments)
        for customer in customers
    ]
    customers = np.array([customer for customer, _ in rows], dtype=object)
    return {"customer": customers, "segment": np.array([segment for _, segment in rows])}


def moved(was, now):
    """Return the moves between segments of letters, the last of which are the unassigned."""
    return count_moves(of(was), len(was) - 1, of(now), len(now) - 1)


def test_moves_by_hand():
    found = moved(["abcde", "fg", "h"], ["fab", "cxy", "d", "e"])
    assert found.counts.tolist() == [
        [2, 1, 1, 1, 0],  # a b; c; d; e is unassigned
        [1, 0, 0, 0, 1],  # f; g is gone
        [0, 0, 0, 0, 1],  # h was unassigned, and is gone
        [0, 2, 0, 0, 0],  # x y are new
    ]
    assert found.n_both == 6
    assert found.similarity == pytest.approx(np.array([[2 / 6, 1 / 5, 1 / 5], [1 / 3, 0, 0]]))


@pytest.mark.parametrize(
    ("was", "now", "same"),
    [
        (["ab", "cde", ""], ["cde", "ab", ""], [1, 0]),
        (["abcdef", "ghijk", ""], ["ghijkXY", "abcde", "f", ""], [1, 0, -1]),
        (["abcdef", "ghijkl", ""], ["abcdefghijkl", "X", ""], [-1, -1]),  # put together
        (["abcdefghij", ""], ["abcde", "fghij", ""], [-1, -1]),  # taken apart: .5 is not enough
        (["abcdefghij", ""], ["abcdef", "ghij", ""], [0, -1]),  # .6 is
        (["abcdefghij", ""], ["abcdef", "XY", "ghij"], [0, -1]),  # unassigned, and were in it
        (["abcdefghij", ""], ["abcdeX", "Y", "fghij"], [-1, -1]),
        (["abcdefghij", ""], ["abcdeXYZ", "Y", ""], [0, -1]),  # who is gone, or new, does not count
        (["abcdefghij", ""], ["abcdXYZ", "Y", ""], [-1, -1]),  # but four are too few to tell
        (["abcd", "efghij", ""], ["abcd", "efghij", ""], [0, 1]),  # unless they are all
        (["abcd", "efghij", ""], ["abcdX", "efghij", ""], [-1, 1]),
        (["", "abcde", ""], ["abcde", "", ""], [1, -1]),  # all of a segment were unassigned
        (["", "abcde"], ["", "abcde"], [-1]),  # the unassigned are no segment
    ],
)
def test_which_segments_are_the_same(was, now, same):
    found = moved(was, now)
    assert found.same.tolist() == same
    stayed = [set(now[s]) & set(was[of]) for s, of in enumerate(same) if of >= 0]
    assert found.n_stayed == sum(map(len, stayed))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_the_same_is_so_by_sets_one_to_one_and_in_any_order(seed):
    rng = np.random.default_rng(seed)
    was = rng.integers(-1, 4, 200)
    now = np.where(rng.random(200) < rng.uniform(0.1, 0.4), rng.integers(-1, 5, 200), was)
    ids = np.array([f"c{i}" for i in range(200)], dtype=object)
    earlier = {"customer": ids[:150], "segment": was[:150]}
    later = {"customer": ids[30:], "segment": now[30:]}
    found = count_moves(earlier, 4, later, 5)
    for segment in range(5):
        mine = set(ids[30:150][now[30:150] == segment])
        for other in range(4):
            theirs = set(ids[30:150][was[30:150] == other])
            jaccard = len(mine & theirs) / max(len(mine | theirs), 1)
            assert found.similarity[other, segment] == pytest.approx(jaccard)
            assert (found.same[segment] == other) == (jaccard >= 0.6)
    kept = found.same[found.same >= 0]
    assert len(set(kept)) == len(kept)

    names = dict(zip(ids, rng.permutation(ids), strict=True))

    def shuffled_and_renamed(part):
        order = rng.permutation(len(part["customer"]))
        renamed = np.array([names[one] for one in part["customer"][order]], dtype=object)
        return {"customer": renamed, "segment": part["segment"][order]}

    again = count_moves(shuffled_and_renamed(earlier), 4, shuffled_and_renamed(later), 5)
    assert np.array_equal(again.counts, found.counts)
