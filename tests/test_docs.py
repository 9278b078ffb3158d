"""The code in the documents runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import torch
import yaml
from typer.main import get_command

import nasrec
from nasrec.cli import app
from nasrec.config import SearchConfig
from nasrec.nn import Inputs, SharedWeights, cost
from nasrec.nn.operators import OPERATORS
from nasrec.report import drawing
from nasrec.space import NASREC_FULL

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def test_the_operator_of_contributing_works_without_more():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    try:
        exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "contributing"})
        inputs = Inputs(3, (4, 5))
        space = NASREC_FULL.with_(name="mine", blocks=3, dense_ops=("Maxout",))
        architecture = space.sample(np.random.default_rng(0))
        shared = SharedWeights(space, inputs)
        rows = torch.randn(2, 3), torch.zeros(2, 2, dtype=torch.int64)
        alone = shared.extract(architecture)(*rows)
        torch.testing.assert_close(shared.subnet(architecture)(*rows), alone)
        assert cost(architecture, inputs).madds > 0
    finally:
        OPERATORS.pop("Maxout", None)


def test_links_between_documents_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def command_lines():
    """Every command line that the documents give, with its page."""
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ | {4}|.*\| )?nasrec ([a-z].*)", line)
            if found and not line.startswith("|"):
                yield page.name, found[1].split("   ")[0]


def test_command_lines_name_commands_and_options_that_there_are():
    root = get_command(app)
    top = root.make_context("nasrec", [], resilient_parsing=True)
    faults, lines = [], list(command_lines())
    for page, line in lines:
        command, words = root, shlex.split(line.split(" > ")[0], comments=True)
        while command is not None and hasattr(command, "list_commands"):
            command = command.get_command(top, words.pop(0))
        try:
            assert command is not None, "there is no such command"
            command.make_context(command.name, words, parent=top)
        except Exception as error:
            faults.append(f"{page}: nasrec {line}: {error}")
    assert not faults, "\n".join(faults)
    assert len(lines) > 20


def test_every_page_is_in_the_navigation():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    trees = "\n".join(re.findall(r"```\{toctree\}(.*?)```", index, re.S)).split()
    for page in ROOT.glob("docs/*.md"):
        assert page.stem in {*trees, "index"}, f"put {page.name} into a toctree of docs/index.md"


def test_every_public_name_is_on_the_page_of_the_api():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\.\. auto\w+:: nasrec\.(\w+)$", page, re.M))
    assert shown == {*nasrec.__all__, "NASRecClassifier"}


def test_settings_on_the_page_of_benchmarks_are_settings():
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"```\{code-block\} yaml\n:caption: \S+\n(.*?)```", page, re.S)
    config = SearchConfig(**yaml.safe_load(settings))
    assert config.planned_evaluations == 2048
    assert config.evolution.population + 240 * config.evolution.children == 2048


def test_the_pictures_are_what_their_command_draws(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/_ext")
    import pictures

    names = set()
    for name, architecture in pictures.architectures():
        drawn = (pictures.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn == f"{drawing(architecture)}\n", "make pictures"
        names.add(name)
    assert names == {file.stem for file in pictures.FOLDER.iterdir()}


def test_broken_links_of_a_site_are_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/_ext")
    from links import broken

    (tmp_path / "to").mkdir()
    (tmp_path / "to/other.html").write_text('<h1 id="here">')
    good = ["to/other.html", "to/other.html#here", "#me", "https://arxiv.org/abs/2207.07187"]
    bad = ["gone.html", "to/other.html#gone", "#gone", "http://arxiv.org", "https://localhost/x"]
    links = "".join(f'<a href="{link}">' for link in good + bad)
    (tmp_path / "page.html").write_text(f'<p id="me">{links}<img src="gone.svg">')
    assert [fault.split(": ")[1] for fault in broken(tmp_path)] == [*bad, "gone.svg"]
