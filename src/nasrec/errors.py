"""Errors a user can mend, told so that they can."""

from __future__ import annotations


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
