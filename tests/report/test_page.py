"""The report of a run: whole without network, true to the run, and there for broken runs too."""

from __future__ import annotations

import copy
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

import nasrec
from nasrec.errors import RunError
from nasrec.files import write_json
from nasrec.pipeline import Reporter, write_report
from nasrec.pipeline import report as stage
from nasrec.pipeline.findings import PARTS, findings
from nasrec.pipeline.folder import RunFolder
from nasrec.report import figures, page
from nasrec.report.page import verdict
from tests.end_to_end.tiny import SETTINGS

VOID = {"meta", "link"}


class Page(HTMLParser):
    """What a page consists of; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append((self.open[-1], " ".join(data.split())))

    @property
    def text(self) -> str:
        return " ".join(text for _, text in self.texts)

    def attributes(self, name: str) -> list[str]:
        return [a[name] or "" for _, a in self.tags if name in a]


@pytest.fixture(autouse=True, scope="module")
def _no_time_for_latency():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nasrec.pipeline.findings.LATENCY_SECONDS", 1e-3)
        yield


@pytest.fixture(scope="module")
def found(finished):
    return findings(RunFolder(finished / "run"))


def without_part(run, tmp_path, *parts):
    """A copy of a run that has lost some of its files."""
    made = tmp_path / "lost"
    shutil.copytree(run, made)
    for part in parts:
        lost = made / part
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    return made


def test_a_search_leaves_a_report(finished):
    run = nasrec.open_run(finished / "run")
    text = run.report.read_text()
    made = Page(text)
    for row in run.leaderboard:
        assert row["name"] in made.text
        assert f"{row['test_logloss']:.5f}" in made.text
    for what in (run.to_dict()["model"], "Kendall's tau", "95 % interval", "C1"):
        assert what in made.text
    fingerprint = json.loads((finished / "run/config.json").read_text())["fingerprint"]
    assert fingerprint in made.text
    assert len(text) < 500_000


def test_it_is_whole_and_runs_nothing(found):
    text = page(found)
    made = Page(text)
    tags = [tag for tag, _ in made.tags]
    assert "script" not in tags
    assert "iframe" not in tags
    assert not [name for _, a in made.tags for name in a if name.startswith("on")]
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, nothing to fetch
    for link in made.attributes("href") + made.attributes("src"):
        assert link.startswith(("#", "data:"))
    assert not re.search(r"url\(|@import", text)


def test_it_can_be_read_without_seeing_it(found):
    made = Page(page(found))
    ids = made.attributes("id")
    assert len(set(ids)) == len(ids)
    assert {link[1:] for link in made.attributes("href") if link.startswith("#")} <= set(ids)
    assert set(made.attributes("aria-labelledby")) <= set(ids)
    levels = [int(tag[1]) for tag, _ in made.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    counts = {tag: [t for t, _ in made.tags].count(tag) for tag in ("table", "caption", "svg")}
    assert counts["table"] == counts["caption"]
    titles = [text for tag, text in made.texts if tag == "title"]
    assert counts["svg"] == 6
    assert len(titles) > counts["svg"]
    assert all(a["role"] == "img" for tag, a in made.tags if tag == "svg")
    for tag, a in made.tags:
        if "tabindex" in a:  # boxes that scroll can be scrolled by keys
            assert (tag, a["tabindex"], a["role"]) == ("div", "0", "region")
            assert a["aria-label"]


@pytest.mark.parametrize("name", PARTS)
def test_it_does_without_any_part(found, name):
    made = Page(page({**found, name: None}))
    assert "The answer" in made.text
    nothing = {**found, **dict.fromkeys(PARTS)}
    assert Page(page(nothing)).text.count("Not there yet") >= 7


@pytest.mark.parametrize(
    ("ends", "said"),
    [((-0.02, -0.01), "better"), ((-0.02, 0.01), "even"), ((0.01, 0.02), "worse")],
)
def test_how_sure_it_is(found, ends, said):
    found = copy.deepcopy(found)
    family = found["answer"]["rival"]["family"]
    found["differences"][family] |= dict(zip(("low", "high"), ends, strict=True))
    assert verdict(found) == said
    words = {"better": "larger than the choice of test rows explains",
             "even": "do not tell the two apart", "worse": "This search has not paid"}  # fmt: skip
    text = Page(page(found)).text
    assert [word in text for word in words.values()].count(True) == 1
    assert words[said] in text


def test_a_criterion_that_rises(found):
    found = copy.deepcopy(found)
    found["criterion"] |= {"field": "auc", "title": "AUC", "rises": True}
    best = max(e["score"]["auc"] for e in found["search"])
    over_time = figures.search_over_time(found)
    assert over_time.rows[-1][1] == f"{best:.5f}"
    for figure in figures.quality_and_cost(found):
        points = [tuple(float(cell.replace(",", "")) for cell in row[-2:]) for row in figure.rows]
        if figure.name.startswith("candidates"):  # more costs more only if it is better
            assert points == sorted(points)
            assert points[-1][1] == pytest.approx(best, abs=1e-5)
        assert "validation AUC" in str(figure.svg)
    assert "AUC" in Page(page(found)).text


def test_names_of_columns_are_only_text(found):
    found = copy.deepcopy(found)
    bad = "<script>alert(1)</script>&\"'"
    found["columns"]["columns"][0]["name"] = bad
    found["data"]["warnings"] = [bad]
    found["leaderboard"][0]["name"] = bad
    found["run"] = f"/{bad}"
    text = page(found)
    assert "<script" not in text
    assert bad in Page(text).text


def test_what_it_tells_is_the_runs(finished, found):
    board = json.loads((finished / "run/leaderboard.json").read_text())
    winner = next(row for row in board["rows"] if row["family"] == "nasrec")
    assert found["answer"]["test_logloss"] == winner["test_logloss"]
    for row in board["rows"]:
        if row["family"] != "nasrec":
            difference = found["differences"][row["family"]]
            expected = winner["test_logloss"] - row["test_logloss"]
            assert difference["mean"] == pytest.approx(expected, abs=1e-6)
            assert difference["low"] <= difference["mean"] <= difference["high"]
    lines = (finished / "run/search/journal.jsonl").read_text().splitlines()[1:]
    assert len(found["search"]) == len(lines) == 8
    assert sum(e["trial"] is not None for e in found["search"]) == 2
    assert len(found["ranks"]["pairs"]) == 2
    for entry in found["search"]:
        for trial in board["trials"]:
            if trial["digest"] == entry["digest"]:
                assert trial["madds"] == entry["costs"]["madds"]
    assert sum(b["rows"] for b in found["calibration"]) == winner["test_rows"]
    assert {c["name"] for c in found["columns"]["columns"]} == {"I1", "I2", "C1", "C2", "C3"}


# -- runs that are not whole --------------------------------------------------------------------

LATER = ["report.html", "summary.txt", "model", "front.json", "leaderboard.json"]
CUTS = {
    "before the leaderboard": (LATER, 2),
    "while retraining": ([*LATER, "retrain"], 2),
    "while searching": ([*LATER, "retrain", "search/ranking.json"], 3),
    "before the search": ([*LATER, "retrain", "search", "supernet"], 4),
    "before the data": ([*LATER, "retrain", "search", "supernet", "data", "config.json"], 5),
}


@pytest.mark.parametrize("cut", CUTS)
def test_an_unfinished_run(finished, tmp_path, cut):
    parts, count = CUTS[cut]
    run = without_part(finished / "run", tmp_path, *parts)
    file, told = write_report(run)
    assert file == run / "report.html"
    assert not told["finished"]
    assert not told["faults"]
    assert len(told["missing"]) == count
    text = Page(file.read_text()).text
    assert "This run is not finished" in text
    assert all(what in text for what in told["missing"])
    assert ("Score of every evaluation" in text) == bool(told["search"])


def test_a_finished_run_that_lost_a_part(finished, tmp_path):
    run = without_part(finished / "run", tmp_path, "model")
    _, told = write_report(run, tmp_path / "elsewhere.html")
    assert told["missing"] == ["the model folder"]
    assert "missing or damaged" in Page((tmp_path / "elsewhere.html").read_text()).text


OTHERS = b'{"rows": [{}], "settings": 1}\n{}\n\n'
DAMAGE = {
    "leaderboard.json": OTHERS,
    "config.json": OTHERS,
    "environment.json": b"{",
    "search/journal.jsonl": OTHERS,
    "model/weights.safetensors": b"",
    "data/manifest.json": b"{",
    "retrain": b"",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_told_and_hide_nothing_else(finished, tmp_path, name):
    run = without_part(finished / "run", tmp_path)
    file = next(run.glob("retrain/nasrec-*/test-logits.npy")) if name == "retrain" else run / name
    file.write_bytes(DAMAGE[name])
    _, told = write_report(run)
    text = Page((run / "report.html").read_text()).text
    assert "missing or damaged" in text
    assert any(name.split("/")[0] in str(fault["where"]) for fault in told["faults"])
    assert ("C1" in text) == (name != "data/manifest.json")
    assert "Not there yet" in text or name == "environment.json"


def test_no_run_and_other_versions(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        write_report(tmp_path / "none")
    with pytest.raises(RunError, match=r"no request\.json"):
        write_report(tmp_path)
    write_json(tmp_path / "request.json", {"format": "nasrec-run/99"})
    with pytest.raises(RunError, match="nasrec-run/99"):
        write_report(tmp_path)


def test_a_report_that_cannot_be_made_does_not_fail_the_search(finished, tmp_path, monkeypatch):
    run = without_part(finished / "run", tmp_path, "report.html")
    said = []
    reporter = Reporter()
    monkeypatch.setattr(reporter, "say", said.append)
    monkeypatch.setattr(stage, "page", lambda found: 1 / 0)
    nasrec.search(finished / "log.csv", "label", run, reporter=reporter, **SETTINGS)
    assert any("report was not written" in text and "ZeroDivision" in text for text in said)
    assert not (run / "report.html").exists()
    monkeypatch.undo()
    again = nasrec.search(
        finished / "log.csv", "label", run, reporter=Reporter(quiet=True), **SETTINGS
    )
    assert again.report.is_file()
