"""What can be wrong with a record of delimited text, and whether that ends the reading."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from nasrec.data.formats.log import BadLine, BadRows
from nasrec.errors import DataError

MAX_RECORD = 1 << 26
"""Bytes a record may have. What is longer is a quote never closed, or no text at all."""
QUOTES = 'put the whole field in quotes and write a quote inside it twice (5" as "5""")'
UTF8 = "save the file as UTF-8 (for instance with iconv -f LATIN1 -t UTF-8)"


class Fault(NamedTuple):
    """What is wrong, and the line, counted from 0, of the text that it is on."""

    line: int
    what: str
    mend: str


def ragged(found: int, expected: int) -> Fault:
    """Of a record with another number of fields."""
    return Fault(
        0,
        f"{found} field{'s' if found != 1 else ''} where {expected} are expected"
        + (" (a truncated line?)" if found < expected else ""),
        "correct or delete the line; a separator inside a field needs quotes around it",
    )


def too_long(text: bytes, quotes: bool) -> Fault:
    """Of text that does not end as a record: a quote is open, or it is too long."""
    if quotes and text.count(b'"') % 2:
        return Fault(
            text.count(b"\n", 0, text.rfind(b'"')) if len(text) <= MAX_RECORD else 0,
            "a quote is opened and never closed",
            "close the quote, or write the file again if it was cut off",
        )
    return Fault(
        0, f"a record of more than {MAX_RECORD >> 20} MiB", "check that this is a text file"
    )


def found(
    bad: list[BadLine],
    bad_rows: BadRows,
    path: Path,
    line: int,
    fault: Fault,
    content: bytes,
) -> None:
    """Raise for a fault in the record that begins on `line`, or keep it if they are left out."""
    if bad_rows == "error":
        raise DataError(fault.what, where=f"{path}, line {line + fault.line}", mend=fault.mend)
    bad.append(BadLine(str(path), line, fault.what, content.split(b"\n")[0][:1024].rstrip(b"\r")))
