"""Make the sample: the customers of Larkfold, a listening library that does not exist.

    python sample_data/make_sample.py [FOLDER] [--seed SEED]

writes `stars.csv`, `counts.csv`, `items.csv` and `truth.csv` into FOLDER (default: this one). The
same seed gives the same bytes. Everything is drawn from uniform numbers alone, because numpy keeps
that stream from release to release, but not what its other distributions make of it.

How a customer comes about:

1. They belong to one of `SEGMENTS`, which says how they spread their time over the genres.
2. Their own taste is a Dirichlet draw around it: no two customers of a segment are alike.
3. How much they listen is log-normal and has nothing to do with the segment.
4. They pick that many different items: mostly by their taste, now and then whatever everyone
   listens to. Within a genre, popularity falls with rank as in Zipf's law.
5. Each pick is recorded twice, as stars (1 to 5) and as plays (1 to thousands). Both are a little
   higher where the taste is strong, and depend at least as much on habit and on chance.
"""

import argparse
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

SEED = 2015
N_CUSTOMERS = 2000
MEDIAN_ITEMS, SPREAD_OF_ITEMS = 17, 0.9  # items per customer: median, standard deviation of the log
FEWEST_ITEMS, MOST_ITEMS = 5, 150
ZIPF = 0.8  # an item's popularity in its genre is rank ** -ZIPF
MAINSTREAM = 0.08  # share of picks by overall popularity instead of taste
BESTSELLERS = 0.10  # share of picks among each genre's two most popular items
STRONG_TASTE = 0.4  # a genre with this share of someone's time is liked as much as can be
MOST_PLAYS = 9999
N_BAD_ROWS = 5  # rows of each kind in counts.csv that no reader can use


@dataclass(frozen=True)
class Genre:
    """A genre, its number of titles, and the words they are made of: any start fits any end.

    The numbers of starts and ends share no divisor, so that pairing them in turn repeats no title
    before every pair was used.
    """

    name: str
    n_titles: int
    starts: tuple[str, ...]
    ends: tuple[str, ...]

    def titles(self) -> list[str]:
        """Return the titles, the most popular first."""
        pairs = zip(cycle(self.starts), cycle(self.ends), strict=False)
        return [f"{start} {end}" for start, end in islice(pairs, self.n_titles)]


@dataclass(frozen=True)
class Segment:
    """A planted segment: its share of the customers and the parts of their time each genre gets.

    The parts (20 in all) are also the Dirichlet's parameters: twice the parts would mean the same
    segment with half the variance inside it.
    """

    name: str
    share: float
    parts: dict[str, int]


GENRES = (
    Genre(
        "Crime",
        40,
        (
            "A Body",
            "Inspector Dunmarrow",
            "The Forged Will",
            "Three Alibis",
            "The Wrong Coroner",
            "Poison",
            "The Night Porter",
            "A Locked Room",
            "The Vanished Clerk",
        ),
        (
            "at Pellmarsh Hall",
            "on the Varnley Express",
            "in Crookgate Lane",
            "at the Hotel Osterbeck",
            "on Tarnwick Pier",
            "in Quillam Chambers",
            "at Number Nine, Ashlar Row",
        ),
    ),
    Genre(
        "Romance",
        36,
        (
            "A Kiss",
            "Two Hearts",
            "The Reluctant Bride",
            "Second Chances",
            "Love Letters",
            "The Duke's Mistake",
            "One Slow Dance",
            "A Proposal",
            "Falling for the Baker",
        ),
        (
            "at Honeybell Bay",
            "in Rosenfell",
            "at the Lindenmere Ball",
            "by Lake Corvella",
            "in Appledown Yard",
            "at the Marigold Tearooms",
            "on Swanholt Island",
        ),
    ),
    Genre(
        "Science fiction",
        30,
        (
            "The Last Signal",
            "Mutiny",
            "A Thousand Sleepers",
            "First Contact",
            "The Clone's Trial",
            "Zero Gravity",
            "The Quiet Machine",
            "Orphans",
            "A Fault in the Drive",
        ),
        (
            "from Kepra Nine",
            "aboard the Oberlith",
            "on Station Vantor",
            "beyond the Sulien Gate",
            "in the Drayan Belt",
            "under Twin-Sun Orrow",
            "on the Moons of Tesh",
        ),
    ),
    Genre(
        "Fantasy",
        30,
        (
            "The Dragon",
            "The Ashen Crown",
            "The Witch-Queen",
            "The Sworn Blade",
            "Nine Runes",
            "The Oathbreaker",
            "The Wolf-Singer",
            "The Hedge Wizard",
            "The Shattered Throne",
        ),
        (
            "of Eldravar",
            "of the Mirrowood",
            "of High Caldreth",
            "of the Sunken Realm",
            "of Thornevale",
            "of the Ember Isles",
            "of Ysmere",
        ),
    ),
    Genre(
        "History",
        28,
        (
            "The Rise and Ruin",
            "A Short History",
            "The Secret Treaties",
            "The Great Siege",
            "Kings and Weavers",
            "The Lost Archives",
            "Daily Bread",
            "The Long March",
            "Maps and Merchants",
        ),
        (
            "of Old Karsova",
            "of the Amber Ports",
            "of the Vellish Empire",
            "of the Salt Republics",
            "of Varrow Keep",
            "of the House of Aldemar",
            "of the River Cities",
        ),
    ),
    Genre(
        "Ghost stories",
        24,
        (
            "The Pale Lodger",
            "What Knocked",
            "A Cold Hand",
            "The Drowned Bell",
            "Nine Candles",
            "The Empty Cradle",
            "The Grey Sexton",
            "A Whisper",
            "The Last Seance",
        ),
        (
            "at Hollowmere",
            "beneath Gravenby Abbey",
            "in the Attic of Sorrel House",
            "at Dead Heron Marsh",
            "on Gallows Stair",
            "behind the Wall at Murk End",
            "in Blackthorn Vicarage",
        ),
    ),
    Genre(
        "Cookery",
        24,
        (
            "One-Pot Suppers",
            "Slow Sunday Roasts",
            "Pies and Puddings",
            "Soups for a Week",
            "Home Baking",
            "Preserves and Pickles",
            "Forty Fast Dinners",
            "Feasts without Meat",
            "Cakes",
        ),
        (
            "from Clementine's Kitchen",
            "the Brindle Farm Way",
            "for Hungry Households",
            "from the Saltpan Cafe",
            "with Aunt Perpetua",
            "for Absolute Beginners",
            "from the Copperpot School",
        ),
    ),
    Genre(
        "Travel",
        24,
        (
            "On Foot",
            "By Slow Train",
            "A Winter's Ride",
            "Lost and Found",
            "With a Borrowed Tent",
            "Following the Cranes",
            "A Thousand Miles",
            "By Leaky Boat",
            "Alone with a Mule",
        ),
        (
            "across the Karash Desert",
            "through the Upper Tamsin",
            "along the Osk Coast",
            "over the Seven Passes",
            "to the Villages of Merrow",
            "through the Fjords of Halvik",
            "to the End of the Tundra Road",
        ),
    ),
    Genre(
        "Children",
        24,
        (
            "Pip the Otter",
            "Mr Wobblebottom",
            "The Littlest Tractor",
            "Captain Biscuit",
            "Nelly Nettle",
            "The Sleepy Moon",
            "Grandpa Giraffe",
            "Bertie Bubble",
            "The Bravest Mouse",
        ),
        (
            "Goes to School",
            "and the Jelly Storm",
            "and the Missing Mitten",
            "and the Upside-Down Day",
            "Learns to Share",
            "and the Big Blue Door",
            "Says Good Night",
        ),
    ),
    Genre(
        "Gardening",
        20,
        (
            "Roses",
            "A Year of Vegetables",
            "Compost and Clay",
            "Pruning",
            "Wild Borders",
            "Herbs and Simples",
            "The Small Greenhouse",
            "Bulbs",
            "Ponds and Bog Plants",
        ),
        (
            "at Fennimore Lodge",
            "for Windy Gardens",
            "with Old Tom Bracken",
            "in Pots and Troughs",
            "for Lazy Weekends",
            "the Willowbank Way",
            "from Seed to Shed",
        ),
    ),
)

SEGMENTS = (
    Segment("detectives", 0.34, {"Crime": 12, "Ghost stories": 6, "History": 2}),
    Segment("romantics", 0.24, {"Romance": 14, "Cookery": 3, "Travel": 2, "History": 1}),
    Segment("stargazers", 0.16, {"Science fiction": 10, "Fantasy": 8, "Ghost stories": 2}),
    Segment("homemakers", 0.12, {"Gardening": 11, "Cookery": 8, "Children": 1}),
    Segment("families", 0.09, {"Children": 14, "Fantasy": 4, "Cookery": 2}),
    Segment("wanderers", 0.05, {"Travel": 12, "History": 7, "Crime": 1}),
)


@dataclass(frozen=True)
class Catalogue:
    """The items in the order of their ids.

    Attributes
    ----------
    titles : list of str
    genre : ndarray of shape (n_items,), index into `GENRES`
    rank : ndarray of shape (n_items,), 1 for the most popular item of its genre
    """

    titles: list[str]
    genre: np.ndarray
    rank: np.ndarray

    @property
    def ids(self) -> list[str]:
        """Return the item ids."""
        return [f"B{number:04d}" for number in range(1, len(self.titles) + 1)]


@dataclass(frozen=True)
class Sample:
    """All that was drawn; a stars or plays of 0 means that the customer did not pick the item.

    Attributes
    ----------
    catalogue : Catalogue
    segment : ndarray of shape (n_customers,), index into `SEGMENTS`
    stars : ndarray of shape (n_customers, n_items)
    plays : ndarray of shape (n_customers, n_items)
    """

    catalogue: Catalogue
    segment: np.ndarray
    stars: np.ndarray
    plays: np.ndarray

    @property
    def customer_ids(self) -> list[str]:
        """Return the customer ids."""
        return [f"C{number:05d}" for number in range(1, len(self.segment) + 1)]


# --- draws, from uniform numbers alone ------------------------------------------------------------


def draw_exponential(rng, shape):
    """Return standard exponential numbers: minus the log of uniform ones."""
    return -np.log1p(-rng.random(shape))


def draw_normal(rng, shape):
    """Return standard normal numbers, by Box and Muller's transform."""
    radius = np.sqrt(2 * draw_exponential(rng, shape))
    return radius * np.cos(2 * np.pi * rng.random(shape))


def draw_dirichlet(rng, parts):
    """Return one Dirichlet draw per row of whole-numbered parameters.

    A gamma number with a whole-numbered shape is the sum of that many exponential ones.

    Parameters
    ----------
    parts : ndarray of int of shape (n, n_genres), no row all 0

    Returns
    -------
    ndarray of shape (n, n_genres), each row adds up to 1
    """
    counted = np.arange(parts.max()) < parts[:, :, None]
    gamma = (draw_exponential(rng, counted.shape) * counted).sum(axis=2)
    return gamma / gamma.sum(axis=1, keepdims=True)


def draw_order(rng, n):
    """Return the numbers 0 to n - 1 in a random order."""
    return np.argsort(rng.random(n), kind="stable")


def draw_picks(rng, chances, n_picks):
    """Return which items each customer picks, without replacement.

    Each item waits an exponential time at the rate of its chance; those that come first are a draw
    without replacement with probabilities in proportion to the chances.

    Parameters
    ----------
    chances : ndarray of shape (n_customers, n_items), all above 0
    n_picks : ndarray of shape (n_customers,)

    Returns
    -------
    ndarray of bool of shape (n_customers, n_items)

    References
    ----------
    Efraimidis and Spirakis (2006), "Weighted random sampling with a reservoir", Inf. Process.
    Lett. 97, 181-185. https://doi.org/10.1016/j.ipl.2005.11.003
    """
    waiting = draw_exponential(rng, chances.shape) / chances
    place = np.argsort(np.argsort(waiting, axis=1), axis=1)
    return place < n_picks[:, None]


# --- the sample, step by step ---------------------------------------------------------------------


def make_catalogue(rng):
    """Return the items of all genres, their ids in an order that tells nothing."""
    listed = [
        (title, genre, rank)
        for genre, words in enumerate(GENRES)
        for rank, title in enumerate(words.titles(), start=1)
    ]
    titles, genre, rank = zip(*(listed[i] for i in draw_order(rng, len(listed))), strict=True)
    return Catalogue(list(titles), np.array(genre), np.array(rank))


def draw_segments(rng):
    """Return each customer's segment: the planted sizes exactly, in random order."""
    sizes = [round(N_CUSTOMERS * segment.share) for segment in SEGMENTS]
    return np.repeat(np.arange(len(SEGMENTS)), sizes)[draw_order(rng, N_CUSTOMERS)]


def draw_tastes(rng, segment):
    """Return each customer's share of time per genre, of shape (n_customers, n_genres)."""
    parts = np.array([[s.parts.get(genre.name, 0) for genre in GENRES] for s in SEGMENTS])
    return draw_dirichlet(rng, parts[segment])


def draw_activity(rng):
    """Return each customer's number of items: log-normal, whatever the segment."""
    drawn = MEDIAN_ITEMS * np.exp(SPREAD_OF_ITEMS * draw_normal(rng, N_CUSTOMERS))
    return np.clip(np.rint(drawn), FEWEST_ITEMS, MOST_ITEMS).astype(int)


def pick_chances(catalogue, tastes):
    """Return the chance that a customer's next pick is an item, of shape (n_customers, n_items)."""
    n_genres = len(GENRES)
    in_genre = (catalogue.genre == np.arange(n_genres)[:, None]) * catalogue.rank**-ZIPF
    in_genre /= in_genre.sum(axis=1, keepdims=True)
    genre_popularity = np.arange(1, n_genres + 1) ** -0.5  # `GENRES` is in order of popularity
    overall = genre_popularity @ in_genre / genre_popularity.sum()
    bestsellers = np.where(catalogue.rank <= 2, overall, 0)
    bestsellers /= bestsellers.sum()
    by_taste = tastes @ in_genre
    return (
        (1 - MAINSTREAM - BESTSELLERS) * by_taste + MAINSTREAM * overall + BESTSELLERS * bestsellers
    )


def draw_stars(rng, liking):
    """Return ratings from 1 to 5: liking, leniency of the customer, quality of the item, chance."""
    n_customers, n_items = liking.shape
    leniency = 0.4 * draw_normal(rng, (n_customers, 1))
    quality = 0.3 * draw_normal(rng, n_items)
    chance = 0.9 * draw_normal(rng, liking.shape)
    return np.clip(np.rint(3.1 + 1.2 * liking + leniency + quality + chance), 1, 5).astype(int)


def draw_plays(rng, liking):
    """Return numbers of plays, heavy-tailed as log-normal: liking, the customer's habit, chance."""
    habit = 0.7 * draw_normal(rng, (len(liking), 1))
    chance = 1.3 * draw_normal(rng, liking.shape)
    plays = np.ceil(np.exp(1.2 + liking + habit + chance))
    return np.minimum(plays, MOST_PLAYS).astype(int)


def draw_sample(rng):
    """Return a whole sample."""
    catalogue = make_catalogue(rng)
    segment = draw_segments(rng)
    tastes = draw_tastes(rng, segment)
    picks = draw_picks(rng, pick_chances(catalogue, tastes), draw_activity(rng))
    liking = np.minimum(tastes[:, catalogue.genre] / STRONG_TASTE, 1)
    return Sample(
        catalogue, segment, draw_stars(rng, liking) * picks, draw_plays(rng, liking) * picks
    )


# --- the files ------------------------------------------------------------------------------------


def list_interactions(sample, values):
    """Return a (customer id, item id, value) for each pick, by customer and item."""
    customers, items = sample.customer_ids, sample.catalogue.ids
    return [
        (customers[row], items[column], int(values[row, column]))
        for row, column in zip(*np.nonzero(values), strict=True)
    ]


def spoil_rows(rng, rows):
    """Return a few rows as logs have them: without a customer, and plays taken back."""
    chosen = [rows[i] for i in draw_order(rng, len(rows))[: 2 * N_BAD_ROWS]]
    nobody = [("", item, plays) for _, item, plays in chosen[:N_BAD_ROWS]]
    taken_back = [(customer, item, -plays) for customer, item, plays in chosen[N_BAD_ROWS:]]
    return nobody + taken_back


def write_rows(path, header, rows):
    """Write a comma-separated file, the same bytes on every system."""
    lines = [",".join(quote(field) for field in row) for row in (header, *rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))


def quote(field):
    """Return a field as CSV wants it: in quotes where it holds a comma. None holds a quote."""
    return f'"{field}"' if "," in str(field) else str(field)


def write_sample(folder, *, seed=SEED):
    """Draw the sample and write its four files into a folder, which is made if it is missing.

    Parameters
    ----------
    folder : pathlib.Path
    seed : int
    """
    rng = np.random.default_rng(seed)
    sample = draw_sample(rng)
    stars = list_interactions(sample, sample.stars)
    plays = list_interactions(sample, sample.plays)
    plays += spoil_rows(rng, plays)
    genres = [GENRES[genre].name for genre in sample.catalogue.genre]
    segments = [SEGMENTS[segment].name for segment in sample.segment]

    folder.mkdir(parents=True, exist_ok=True)
    write_rows(
        folder / "stars.csv",
        ("customer", "item", "stars"),
        (stars[i] for i in draw_order(rng, len(stars))),
    )
    write_rows(
        folder / "counts.csv",
        ("customer", "item", "plays"),
        (plays[i] for i in draw_order(rng, len(plays))),
    )
    write_rows(
        folder / "items.csv",
        ("item", "title", "genre"),
        zip(sample.catalogue.ids, sample.catalogue.titles, genres, strict=True),
    )
    write_rows(
        folder / "truth.csv",
        ("customer", "segment"),
        zip(sample.customer_ids, segments, strict=True),
    )


def main():
    """Read the command line and write the sample."""
    parser = argparse.ArgumentParser(description="Make segcli's sample files.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    options = parser.parse_args()
    write_sample(options.folder, seed=options.seed)


if __name__ == "__main__":
    main()
