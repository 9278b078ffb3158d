"""The files of a log: patterns, folders, and compression."""

from __future__ import annotations

import glob
import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from nasrec.errors import DataError

COMPRESSED = (".gz", ".zst")
"""Extensions of compressed text; what stands before them says the format."""


def is_compressed(path: Path) -> bool:
    """Whether a file has to be decompressed from its beginning."""
    return path.suffix.lower() in COMPRESSED


def find_files(source: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that `source` means, in the order in which they are read.

    A folder means its files (hidden ones and those named `_...` apart), a pattern with `*`, `?`
    or `[` the files it matches; both sorted by name. A list keeps its order.

    Raises:
        DataError: a file that is not there or cannot be read; a folder or pattern without files.
    """
    if not isinstance(source, str | Path):
        if not source:
            raise DataError("no files are given", mend="name at least one file")
        return tuple(file for one in source for file in find_files(one))
    path = Path(source)
    if path.is_dir():
        files = [
            file
            for file in sorted(path.iterdir())
            if file.is_file() and not file.name.startswith((".", "_"))
        ]
        if not files:
            raise DataError("there are no files in the folder", where=str(path), mend="check it")
        return tuple(files)
    if not path.exists() and any(sign in str(source) for sign in "*?["):
        matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]
        matches = [match for match in matches if match.is_file()]
        if not matches:
            raise DataError("no file matches", where=str(source), mend="check the pattern")
        return tuple(matches)
    try:
        with path.open("rb"):
            return (path,)
    except FileNotFoundError as error:
        raise DataError("no such file", where=str(path), mend="check the path") from error
    except OSError as error:
        raise DataError(
            f"cannot read the file: {error.strerror}", where=str(path), mend="check its rights"
        ) from error


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """A file's bytes, decompressed if its name ends in `.gz` or `.zst`.

    `seek` on a compressed file goes forward only, and reads all that it passes.

    Raises:
        DataError: the file cannot be read, or its compressed content is damaged.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".gz":
            with gzip.open(path, "rb") as stream:
                yield stream
        elif kind == ".zst":
            with _zstd(path) as stream:
                yield stream
        else:
            with path.open("rb") as plain:
                yield plain
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise DataError(
            f"cannot read the file: {error.strerror or error}",
            where=str(path),
            mend="check its rights",
        ) from error


def _damaged(path: Path, detail: str) -> DataError:
    return DataError(
        f"the compressed file is damaged or cut off: {detail}",
        where=str(path),
        mend="fetch or write the file again",
    )


class _Pipe(BufferedIOBase):
    """What a program writes to its standard output, as a stream."""

    def __init__(self, path: Path, program: str) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [program, "-dcq", "--", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.place = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        content = self.process.stdout.read(-1 if size is None else size)
        self.place += len(content)
        if (size is None or not 0 <= size <= len(content)) and self.process.wait():
            raise _damaged(self.path, self.process.stderr.read().decode(errors="replace").strip())
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Forward only, from the beginning."""
        while self.place < offset and self.read(min(1 << 20, offset - self.place)):
            pass
        return self.place


@contextmanager
def _zstd(path: Path) -> Iterator[BufferedIOBase]:
    """The standard library has no zstd before Python 3.14, so its own program is asked."""
    program = shutil.which("zstd")
    if program is None:
        raise DataError(
            "the program 'zstd' is needed to read this file",
            where=str(path),
            mend="install it, or decompress the file",
        )
    pipe = _Pipe(path, program)
    try:
        yield pipe
    finally:
        pipe.process.kill()
        pipe.process.communicate()
