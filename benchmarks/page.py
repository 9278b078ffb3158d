"""Every figure of speed, one process each, as one page.

    python -m benchmarks all --page docs/speed.md

With `--out` the figures are kept there as JSON lines, and those that are there are not measured
again. A benchmark that fails is named, and the others go on.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Result, page_parser, tell
from nasrec.files import write_text


def main(names: list[str], arguments: list[str]) -> None:
    """Entry of `python -m benchmarks all`."""
    parser = page_parser("all", __doc__)
    parser.add_argument("--out", type=Path, help="folder of the figures as JSON")
    parser.add_argument("--only", help="names, by commas")
    options = parser.parse_args(arguments)
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        out: Path = options.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        for name in options.only.split(",") if options.only else names:
            file = out / f"{name}.jsonl"
            if name == "search" and not os.environ.get("NASREC_DATA"):
                print("search: left out, for NASREC_DATA names no folder", file=sys.stderr)
            elif not file.is_file():
                try:
                    write_text(file, measured(name))
                except subprocess.CalledProcessError as error:
                    print(f"{name}: failed, exit code {error.returncode}", file=sys.stderr)
                    failed.append(name)
        found = [out / f"{name}.jsonl" for name in names]
        results = [
            json.loads(line)
            for file in found
            if file.is_file()
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
    tell(page(results), options.page)
    if failed:
        sys.exit(f"failed, and not on the page: {', '.join(failed)}")


def measured(name: str) -> str:
    """The JSON lines that a benchmark prints, run in a process of its own."""
    began = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return run.stdout


def page(results: list[Result]) -> str:
    """The figures as Markdown."""
    machine = {key: value for r in results for key, value in r["machine"].items()}
    limits: dict[str, list[float]] = {}
    for r in results:
        for name, rate in r["limits"].items():
            limits.setdefault(name, []).append(rate)
    lines = [
        "# Speed",
        "",
        "Made by `python -m benchmarks all --page docs/speed.md` (`make bench`; with `--out`, from",
        "figures measured before); nothing here is typed by hand. Each figure is one command,",
        "`python -m benchmarks NAME --json`, and its JSON holds every repeat. Shares and ratios",
        "are of processor seconds of one thread, the limit measured again before every repeat;",
        "wall times are named as such. Other work may run meanwhile: see the spread. Figures that",
        "are not here were not measured on this machine.",
        "",
        "Machine: " + ", ".join(f"{key} {value}" for key, value in machine.items()) + ".",
        "",
        "| figure | median | least to greatest (repeats) | target | holds | what |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in results:
        low, high = min(r["repeats"]), max(r["repeats"])
        target = "" if r["target"] is None else f"{r['target']:.3g}"
        holds = "" if r["holds"] is None else "yes" if r["holds"] else "**no**"
        count = len(r["repeats"])
        spread = f"{low:.3g} to {high:.3g} ({count})" if count > 1 else "one repeat"
        lines.append(
            f"| `{r['name']}` | {r['value']:.3g} {r['unit']} | {spread} | {target} | {holds} "
            f"| {told(r)} |"
        )
    lines += [
        "",
        "The machine's limits, medians over the figures above:",
        "",
        "| limit | median | least to greatest |",
        "| --- | --- | --- |",
    ]
    for name, rates in limits.items():
        unit = "GB/s" if name == "copy" else "G multiply-adds/s"
        low, middle, high = (x / 1e9 for x in (min(rates), statistics.median(rates), max(rates)))
        lines.append(f"| {name} | {middle:.3g} {unit} | {low:.3g} to {high:.3g} |")
    return "\n".join(lines) + "\n"


KNOWN = ("name", "value", "unit", "target", "holds", "repeats", "limits", "machine")


def told(figure: Result) -> str:
    """What else a figure says of itself."""
    more = {key: value for key, value in figure.items() if key not in KNOWN}
    return ", ".join(
        f"{key.replace('_', ' ')} {value:,.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in more.items()
    )
