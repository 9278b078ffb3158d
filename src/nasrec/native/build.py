"""Compiling the kernels once for this machine, and loading them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path

from nasrec.files import written_aside

FLAGS = (
    "-O2", "-march=native", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi",
    "-shared", "-fPIC",
)  # fmt: skip
"""No -ffast-math: infinities and NaN must come through, and one order of sums gives one result."""
SECONDS = 120  # a compiler that takes longer hangs


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where there is no compiler or `NASREC_NATIVE` is `off`.

    Warns where a compiler is there and fails.
    """
    if os.environ.get("NASREC_NATIVE", "").lower() in ("off", "0"):
        return None
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        return None
    sources = sorted(Path(__file__).parent.glob("*.[ch]"))
    texts = [source.read_bytes() for source in sources]
    key = hashlib.sha256(b"\0".join([*texts, compiler.encode(), " ".join(FLAGS).encode(), _cpu()]))
    name = f"kernels-{key.hexdigest()[:24]}.so"
    try:
        for folder in _folders():
            if (folder / name).is_file() or _compile(compiler, sources, folder / name):
                return ctypes.CDLL(str(folder / name))
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        warnings.warn(
            f"{compiler} cannot compile nasrec's kernels, so torch's slower operators are used "
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
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [Path(cache_home) / "nasrec", Path(tempfile.gettempdir()) / f"nasrec-{os.getuid()}"]


def _compile(compiler: str, sources: list[Path], target: Path) -> bool:
    """Compile to a file, whole or not at all; whether the folder can be written to."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.parent.stat().st_uid != os.getuid() or not os.access(target.parent, os.W_OK):
            return False
    except OSError:
        return False
    files = [str(source) for source in sources if source.suffix == ".c"]
    with written_aside(target) as aside:
        subprocess.run(
            [compiler, *FLAGS, *files, "-o", str(aside), "-lm"],
            check=True, timeout=SECONDS, capture_output=True, text=True,
        )  # fmt: skip
    return True
