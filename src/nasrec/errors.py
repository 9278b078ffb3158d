"""Errors a user can mend, told so that they can."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class NasrecError(Exception):
    """A mistake in what the user gave: what is wrong, where it is, how to mend it.

    The command line prints it without a traceback and exits with `exit_code`.

    Args:
        what: the fault, with the offending value.
        where: the place: a file, a row, a column, a setting.
        mend: what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(
            (f"{where}: " if where else "") + what + (f"\n  To mend it: {mend}" if mend else "")
        )


class DataError(NasrecError):
    """The click log or a prepared data set is damaged, or is not what the schema says."""


class SpaceError(NasrecError):
    """An architecture or a search space breaks its own rules."""


class ConfigError(NasrecError):
    """A setting is out of range, or contradicts another."""


class RunError(NasrecError):
    """A run folder or a model folder cannot be used as asked."""


class DivergenceError(NasrecError):
    """Training produced a loss that is not finite."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """How to mend a name that is unknown: by the nearest known ones, or any where none is near."""
    names = list(known)
    near = [repr(other) for other in get_close_matches(name, names, n=3, cutoff=0.4)]
    return f"did you mean {', '.join(near)}?" if near else f"choose from: {', '.join(names)}"
