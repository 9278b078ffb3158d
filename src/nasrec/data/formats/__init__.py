"""Click logs as they come: every kind of file, read in chunks."""

from nasrec.data.formats.log import BadLine, BadRows, Chunk, Log, Position, unknown_column
from nasrec.data.formats.registry import FORMATS, Format, Source, format_of, has_format, open_log

__all__ = [
    "FORMATS",
    "BadLine",
    "BadRows",
    "Chunk",
    "Format",
    "Log",
    "Position",
    "Source",
    "format_of",
    "has_format",
    "open_log",
    "unknown_column",
]
