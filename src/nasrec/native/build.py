"""Compiling the kernels once for this machine, and loading them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path

from nasrec.files import written_aside

FLAGS = (
    "-O2", "-march=native", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi",
    "-shared", "-fPIC",
)  # fmt: skip
"""No -ffast-math: infinities and NaN must come through, and one order of sums gives one result."""
SECONDS = 600  # a compiler that takes longer hangs; 15 are enough where it has a processor

_COMPILING = threading.Lock()
"""A cache does not keep two threads from making what it has not yet."""


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where there is no compiler or `NASREC_NATIVE` is `off`.

    Warns where a compiler is there and fails, or the result can be kept nowhere.
    """
    if os.environ.get("NASREC_NATIVE", "").lower() in ("off", "0"):
        return None
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None or os.name != "posix":
        return None
    sources = sorted(Path(__file__).parent.glob("*.[ch]"))
    texts = [source.read_bytes() for source in sources]
    key = hashlib.sha256(b"\0".join([*texts, compiler.encode(), " ".join(FLAGS).encode(), _cpu()]))
    name = f"kernels-{key.hexdigest()[:24]}.so"
    try:
        for folder in _folders():
            if _ours(folder):
                with _COMPILING:
                    if not (folder / name).is_file():
                        _compile(compiler, sources, folder / name)
                return ctypes.CDLL(str(folder / name))
        raise OSError("no folder to keep them in; XDG_CACHE_HOME may name one")
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        warnings.warn(
            "nasrec's kernels cannot be compiled, so slower ways are taken instead "
            f"(NASREC_NATIVE=off says that this is meant): {told}",
            RuntimeWarning,
            stacklevel=2,
        )
    return None


def _cpu() -> bytes:
    """What the compiled code is for: a home folder may be shared by unlike machines."""
    info = Path("/proc/cpuinfo")
    lines = info.read_bytes().splitlines() if info.is_file() else []
    kept = {line for line in lines if line.startswith((b"model name", b"flags", b"Features"))}
    return b"\n".join([platform.platform().encode(), *sorted(kept)])


def _folders() -> list[Path]:
    """Where the compiled code may be kept, best first."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [Path(cache_home) / "nasrec", Path(tempfile.gettempdir()) / f"nasrec-{os.getuid()}"]


def _ours(folder: Path) -> bool:
    """Whether this user, and nobody else, can write to a folder: what lies there is run."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = folder.stat()
    except OSError:
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    return (
        status.st_uid == os.getuid() and not status.st_mode & others and os.access(folder, os.W_OK)
    )


def _compile(compiler: str, sources: list[Path], target: Path) -> None:
    """Compile to a file, whole or not at all."""
    files = [str(source) for source in sources if source.suffix == ".c"]
    with written_aside(target) as aside:
        subprocess.run(
            [compiler, *FLAGS, *files, "-o", str(aside), "-lm"],
            check=True, timeout=SECONDS, capture_output=True, text=True,
        )  # fmt: skip
