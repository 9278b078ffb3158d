"""KDD Cup 2012, track 2: `training.txt`, with the users' profiles joined to it.

Tab separated, without header or quotes. A line stands for `impression` showings of an ad to a
user with the same query, of which `click` were clicked. Three formats say what becomes of that:

- `kdd`: one row, whose label is whether there was a click at all, as published benchmarks have it;
- `kdd_expanded`: one row for each showing;
- `kdd_weighted`: one row for the showings clicked and one for the others, with their numbers as
  weight: the same log loss as expanded in fewer rows.

Gender and age come from `userid_profile.txt` (or `.gz`, `.zst`) in the same folder; 0 stands for
users who are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nasrec.data.formats.sources import opened
from nasrec.data.formats.text import TextReader, Verdict
from nasrec.data.schema import Column, Schema
from nasrec.errors import DataError

NUMBERS = ("depth", "position")
IDS = (
    *("display_url", "ad_id", "advertiser_id", "query_id", "keyword_id", "title_id"),
    *("description_id", "user_id"),
)
NAMES = ("click", "impression", *IDS[:3], *NUMBERS, *IDS[3:])
PROFILE = ("gender", "age")
PROFILE_FILES = tuple(f"userid_profile.txt{end}" for end in ("", ".gz", ".zst"))
MOST_SHOWINGS = 100_000
"""A line with more is taken for damage."""

Showings = Literal["together", "expanded", "weighted"]


def _schema(format: str, *, dense: Sequence[str], weighted: bool) -> Schema:
    weight = Column(name="weight", role="weight", reason="showings that the row stands for")
    return Schema(
        columns=(
            Column(name="label", role="label", reason="whether it was clicked (KDD Cup 2012)"),
            *([weight] if weighted else []),
            *(Column(name=name, role="dense", reason="a count (KDD Cup 2012)") for name in dense),
            *(Column(name=name, role="categorical", reason="an id (KDD Cup 2012)") for name in IDS),
            *(
                Column(name=name, role="categorical", reason="from the user's profile, 0 unknown")
                for name in PROFILE
            ),
        ),
        format=format,
    )


SCHEMA = _schema("kdd", dense=("impression", *NUMBERS), weighted=False)
EXPANDED_SCHEMA = _schema("kdd_expanded", dense=NUMBERS, weighted=False)
WEIGHTED_SCHEMA = _schema("kdd_weighted", dense=NUMBERS, weighted=True)


@dataclass(frozen=True)
class KDDReader(TextReader):
    """Reads `training.txt`.

    Args:
        showings: what becomes of a line with several showings; see the module.
    """

    separator: str = "\t"
    quoted: bool = False
    names: tuple[str, ...] | None = NAMES
    showings: Showings = "together"

    def columns(self, path: Path) -> tuple[str, ...]:
        """The label (and the weight), the columns of the file, and the profile."""
        weight = ("weight",) if self.showings == "weighted" else ()
        return ("label", *weight, *super().columns(path), *PROFILE)

    def companions(self, path: Path) -> tuple[Path, ...]:
        """The profiles."""
        return (_profile_file(path),)

    def needed(self, columns: Sequence[str]) -> set[str]:
        """Adds the columns that the computed ones come from."""
        wanted = {*columns, "click", "impression"}
        return wanted | {"user_id"} if wanted & set(PROFILE) else wanted

    def judge(self, frame: pl.DataFrame) -> Iterator[Verdict]:
        """Clicks and showings must be counts."""
        mend = "correct or delete the line"
        for name, low in (("click", 0), ("impression", 1)):
            numbers = frame[name].cast(pl.Int64, strict=False)
            wrong = ~numbers.is_between(low, MOST_SHOWINGS)
            what = f"column {name!r}: {{}} is not a whole number from {low} to {MOST_SHOWINGS}"
            yield Verdict(wrong, frame[name], what, mend)

    def finish(
        self,
        frame: pl.DataFrame,
        lines: NDArray[np.int64],
        path: Path,
        columns: Sequence[str],
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Join the profiles and make the rows out of the showings."""
        if set(PROFILE) & set(columns):
            profiles = _profiles(_profile_file(path))
            users = frame["user_id"].cast(pl.UInt32, strict=False).fill_null(0).to_numpy()
            users = np.where(users < profiles.shape[1], users, 0)
            joined = [
                pl.Series(name, profiles[i, users]).cast(pl.String)
                for i, name in enumerate(PROFILE)
            ]
            frame = frame.with_columns(joined)
        clicks = frame["click"].cast(pl.Int64).to_numpy()
        # A line may count more clicks than showings: then each click is a showing.
        others = np.maximum(frame["impression"].cast(pl.Int64).to_numpy() - clicks, 0)
        if self.showings == "together":
            return frame.with_columns(
                label=pl.Series(clicks > 0).cast(pl.Int8).cast(pl.String)
            ), lines
        counts = np.stack([clicks, others], axis=1).ravel()
        repeats = counts if self.showings == "expanded" else (counts > 0).astype(np.int64)
        # Twice each line: first what was clicked, then what was not.
        places = np.repeat(np.arange(len(counts)), repeats)
        rows, clicked = places // 2, places % 2 == 0
        frame = frame[rows].with_columns(
            label=_zero_or_one(clicked),
            weight=pl.Series(counts[places]).cast(pl.String),
        )
        return frame, lines[rows]


def _zero_or_one(mask: NDArray[np.bool_]) -> pl.Series:
    return pl.Series(mask).cast(pl.Int8).cast(pl.String)


def _profile_file(path: Path) -> Path:
    for name in PROFILE_FILES:
        if (file := path.parent / name).is_file():
            return file
    raise DataError(
        f"there is no {PROFILE_FILES[0]} beside it, which says gender and age of the users",
        where=str(path),
        mend="put the file of the same download into the same folder",
    )


@lru_cache(maxsize=1)
def _profiles(path: Path) -> NDArray[np.uint8]:
    """(2, largest id + 1) gender and age of each user, 0 where not known."""
    with opened(path) as stream:
        text = stream.read()
    try:
        table = pl.read_csv(
            text,
            has_header=False,
            separator="\t",
            quote_char=None,
            schema={"user_id": pl.UInt32, "gender": pl.UInt8, "age": pl.UInt8},
        ).drop_nulls()
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"not the users' profiles: {str(error).splitlines()[0]}",
            where=str(path),
            mend="each line must have three whole numbers: user, gender and age",
        ) from error
    users = table["user_id"].to_numpy()
    profiles = np.zeros((2, int(users.max(initial=0)) + 1), dtype=np.uint8)
    for i, name in enumerate(PROFILE):
        profiles[i, users] = table[name].to_numpy()
    profiles[:, 0] = 0
    return profiles


READER = KDDReader()
EXPANDED_READER = KDDReader(showings="expanded")
WEIGHTED_READER = KDDReader(showings="weighted")
