"""What all benchmarks share: results of one form, beside the machine's limits measured meanwhile.

A figure is the median of several repeats. Shares of a limit compare each repeat with the limit as
it was measured just before it, in the same process, so that a busy machine slows both. Ratios are
of processor seconds of this process (`clock`): what else runs on the machine does not count as
time, though it still takes cache and memory bandwidth.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Result = dict[str, Any]
clock = time.process_time

#: Products of the shapes in use, (rows, in, out): a dense FC of the middle widths at batch 512, an
#: EFC of seven sources, and attention's inner linears at 64 tokens.
SHAPES = {
    "gemm_1024": (1024, 1024, 1024),
    "gemm_dense": (512, 512, 512),
    "gemm_efc": (8192, 256, 64),
    "gemm_attention": (32768, 16, 48),
}
COPY_BYTES = 64 << 20
#: Folder of the real click logs.
DATA = Path(os.environ.get("NASREC_DATA", "../shared/data"))


class Limits:
    """The machine's limits, with torch's number of threads: measured anew by every call.

    Attributes:
        rates: by name all measurements: multiply-adds a second of the products in `SHAPES`, bytes
            a second of `copy` (read and written bytes counted once).
    """

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self._products = {
            name: (torch.randn(rows, width), torch.randn(out, width))
            for name, (rows, width, out) in SHAPES.items()
        }
        self._source = torch.ones(COPY_BYTES // 4)
        self._target = torch.empty_like(self._source)
        self.rates: dict[str, list[float]] = {name: [] for name in (*SHAPES, "copy")}
        for _ in range(3):  # the first ones allocate
            self()
        for rates in self.rates.values():
            rates.clear()

    def __call__(self) -> float:
        """Measure all limits once; returns the multiply-adds a second at 1024²."""
        linear = self.torch.nn.functional.linear
        for name, (x, weight) in self._products.items():
            taken = [_seconds(lambda x=x, weight=weight: linear(x, weight)) for _ in range(5)]
            madds = x.shape[0] * x.shape[1] * weight.shape[0]
            self.rates[name].append(madds / statistics.median(taken))
        taken = [_seconds(lambda: self._target.copy_(self._source)) for _ in range(3)]
        self.rates["copy"].append(COPY_BYTES / statistics.median(taken))
        return self.rates["gemm_1024"][-1]

    def to_dict(self) -> dict[str, float]:
        """The medians."""
        return {name: statistics.median(rates) for name, rates in self.rates.items() if rates}


class Stolen:
    """How much of the processors a virtual machine's host keeps for others while one measures.

    `share()` is that since this was made, 0 to 1, and 0 where the system does not tell (man 5 proc,
    `steal`). Wall times are longer by as much.
    """

    def __init__(self) -> None:
        self.before = self._ticks()

    def share(self) -> float:
        """Stolen time over all time of the processors since the beginning."""
        spent = [now - then for now, then in zip(self._ticks(), self.before, strict=True)]
        return spent[7] / max(1, sum(spent[:8])) if len(spent) > 7 else 0.0

    @staticmethod
    def _ticks() -> list[int]:
        """user, nice, system, idle, iowait, irq, softirq, steal, ..."""
        file = Path("/proc/stat")
        return (
            [int(n) for n in file.read_text().split("\n")[0].split()[1:]] if file.exists() else []
        )


def _seconds(call: Callable[[], object]) -> float:
    began = clock()
    call()
    return clock() - began


def at_least(target: float) -> Callable[[float], bool]:
    """A test that a value reaches its target from above."""
    return lambda value: value >= target


def at_most(target: float) -> Callable[[float], bool]:
    """A test that a value stays below its target."""
    return lambda value: value <= target


def result(
    name: str,
    values: Sequence[float],
    unit: str,
    target: float | None = None,
    holds: Callable[[float], bool] | None = None,
    limits: Limits | None = None,
    **more: Any,
) -> Result:
    """One figure: the median of all repeats, and what it was measured beside.

    Args:
        name: of the figure.
        values: one a repeat.
        unit: of the values.
        target: what it should reach; None where it only informs.
        holds: whether a value reaches it, such as `at_least(target)`.
        limits: the machine's limits, where they were measured.
        more: further entries of the JSON.
    """
    value = statistics.median(values)
    told = None if target is None or holds is None else bool(holds(value))
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": target,
        "holds": told,
        "repeats": list(values),
        "limits": limits.to_dict() if limits else {},
        "machine": machine(),
        **more,
    }


@cache
def machine() -> dict[str, Any]:
    """The machine in words and numbers."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    memory = (
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    )
    found = {"cpu": model, "cores": os.cpu_count(), "memory_gb": round(memory / 1e9, 1)}
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        found |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
        found["vector"] = torch.backends.cpu.get_cpu_capability()
        from nasrec.native import library  # it imports torch

        found["kernels"] = "torch" if library() is None else "compiled"
    return found


def in_process(code: str, *arguments: str) -> dict[str, Any]:
    """What a script prints last, as JSON; run in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(run.stdout.splitlines()[-1]))


def show(results: Sequence[Result], as_json: bool) -> None:
    """Print the results: one JSON object a line, or for people."""
    for line in results:
        if as_json:
            print(json.dumps(line), flush=True)
            continue
        low, high = min(line["repeats"]), max(line["repeats"])
        told = "" if line["target"] is None else f"  target {line['target']:.3g}: {line['holds']}"
        value = f"{line['value']:,.4g} {line['unit']} ({low:,.4g} to {high:,.4g})"
        print(f"{line['name']:<36} {value}{told}")


def page_parser(name: str, about: str | None, out: str | None = None) -> argparse.ArgumentParser:
    """The options that benchmarks which make a page share; others may be added.

    Args:
        name: of the benchmark.
        about: its module's docstring.
        out: the usual folder of what it trains; None for one that trains nothing on real logs.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--page", type=Path, help="write the text to this Markdown file")
    if out is not None:
        parser.add_argument("--data", type=Path, default=DATA, help="folder of the real logs")
        parser.add_argument("--out", type=Path, default=Path(out), help="folder of the runs")
    return parser


def tell(text: str, page: Path | None, mark: str | None = None) -> None:
    """Print a text, and write it to a page where one is given.

    With `mark` it comes between the page's lines `<!-- MARK -->` and `<!-- end of MARK -->`; the
    rest of the page stays.
    """
    from nasrec.files import write_text

    print(text)
    if page is None:
        return
    if mark is not None:
        begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
        before, rest = page.read_text(encoding="utf-8").split(begin)
        text = f"{before}{begin}\n{text.rstrip()}\n\n{end}{rest.split(end)[1]}"
    write_text(page, text)


def command(
    name: str,
    measure: Callable[..., list[Result]],
    usual: int,
    options: Mapping[str, tuple[Any, Any, str]] | None = None,
) -> Callable[[list[str]], None]:
    """The command line of a benchmark: `--repeats`, `--json`, torch with one thread.

    Args:
        name: of the benchmark.
        measure: takes the number of repeats, gives the results.
        usual: repeats, if none are asked for.
        options: further ones, by name: type, default and help. `measure` takes them by name.
    """

    def main(arguments: list[str]) -> None:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks {name}",
            description=measure.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--repeats", type=int, default=usual)
        parser.add_argument("--json", action="store_true")
        for option, (kind, default, told) in (options or {}).items():
            parser.add_argument(f"--{option}", type=kind, default=default, help=told)
        given = vars(parser.parse_args(arguments))
        repeats, as_json = given.pop("repeats"), given.pop("json")
        import torch

        torch.set_num_threads(1)
        show(measure(repeats, **given), as_json)

    return main
