"""Searches with goals and limits: the front, its points, and bad input."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import polars as pl
import pytest
from typer.testing import CliRunner

import nasrec
from nasrec.cli import app
from nasrec.config import SearchConfig, config_from_options
from nasrec.errors import ConfigError, RunError
from nasrec.nn import Inputs, standalone_costs
from nasrec.pipeline import Reporter
from nasrec.pipeline.candidates import method_of
from nasrec.pipeline.costs import Costs, dearest_options
from nasrec.pipeline.front import front_table, read_front, take
from tests.end_to_end.tiny import SETTINGS, SPACE, write_log
from tests.search.test_pareto import dominates
from tests.train.helpers import make_split

QUIET = Reporter(quiet=True)
GOALS = {
    "costs": ["madds", "latency"],
    "max_p99_ms": 1e4,
    "max_weights": 20_000,
    "baselines": ["logreg"],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("goals")
    nasrec.search(
        write_log(folder), "label", folder / "run", reporter=QUIET, **{**SETTINGS, **GOALS}
    )
    return folder / "run"


def read(path):
    return json.loads(path.read_text())


def test_the_front_is_that_of_the_candidates(finished):
    ranking = read(finished / "search/ranking.json")
    assert ranking["objectives"] == ["logloss", "madds", "latency"]
    points = {
        entry["digest"]: (entry["logloss"], entry["costs"]["madds"], entry["costs"]["latency"])
        for entry in ranking["candidates"]
    }
    front = {entry["digest"] for entry in ranking["candidates"] if entry["front"]}
    assert front == {
        d for d, p in points.items() if not any(dominates(q, p) for q in points.values())
    }
    chosen = set(ranking["chosen"])
    assert chosen <= front or front <= chosen
    assert "The front, on validation rows" in (finished / "summary.txt").read_text()
    assert ranking["chosen"][0] == ranking["candidates"][0]["digest"]


def test_costs_are_those_of_standalone_networks(finished):
    config = nasrec.open_run(finished).config
    run = nasrec.open_run(finished)
    inputs = run.model.spec.inputs
    for entry in read(finished / "search/ranking.json")["candidates"]:
        architecture = nasrec.space.Architecture.from_dict(entry["architecture"])
        counted = standalone_costs(architecture, inputs, dearest_options(config))
        assert counted.items() <= entry["costs"].items()
        assert counted["weights"] <= 20_000


def test_a_search_that_goes_on_measures_nothing_again(finished, tmp_path):
    """The journal is cut; the latencies that are written down decide as they did."""
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = read(run / "search/latency.json")
    expected = (run / "search/ranking.json").read_bytes()
    for digest in before["networks"]:  # what no machine would measure
        assert before["networks"][digest]["p50"] <= before["networks"][digest]["p99"]
    journal = run / "search/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))
    for name in ("search/ranking.json", "summary.txt"):
        (run / name).unlink()
    log = finished.parent / "log.csv"
    nasrec.search(log, "label", run, reporter=QUIET, **{**SETTINGS, **GOALS})
    assert read(run / "search/latency.json") == before
    assert (run / "search/ranking.json").read_bytes() == expected


def test_any_point_can_be_taken_home(finished, tmp_path):
    front = read_front(finished)
    retrained = [p for p in front["points"] if p["trial"]]
    trained = {p["digest"] for p in retrained}
    candidates = read(finished / "search/ranking.json")["candidates"]
    other = next(c for c in candidates if c["digest"] not in trained)
    assert any(p["trained_front"] for p in retrained)
    model = take(finished, retrained[0]["digest"][:12], tmp_path / "a")
    assert model.architecture.digest == retrained[0]["digest"]
    # not by log loss, to which the choice adds what a calibration gains by chance
    assert model.metrics["valid"]["auc"] == pytest.approx(retrained[0]["valid"]["auc"])
    taken = take(finished, other["digest"], tmp_path / "b")
    assert taken.architecture.digest == other["digest"]
    point = next(p for p in read_front(finished)["points"] if p["digest"] == other["digest"])
    assert point["valid"]["auc"] == pytest.approx(taken.metrics["valid"]["auc"])
    assert other["digest"][:12] in front_table(read_front(finished))
    again = take(finished, point["trial"], tmp_path / "c")
    rows = finished.parent / "log.csv"
    assert again.predict_proba(rows).tolist() == taken.predict_proba(rows).tolist()
    for wrong in ("zz", ""):
        with pytest.raises(RunError, match="nasrec front"):
            take(finished, wrong, tmp_path / "d")
    with pytest.raises(RunError, match="exists already"):
        take(finished, point["digest"], tmp_path / "a")


def test_the_commands(finished, tmp_path):
    done = CliRunner().invoke(app, ["front", str(finished), "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    costs = [point["costs"]["madds"] for point in found["points"]]
    assert all(a <= b for a, b in pairwise(costs))
    assert found["models"][0]["family"] == "logreg"
    digest = next(p["digest"] for p in found["points"] if p["trial"])
    out = tmp_path / "model"
    done = CliRunner().invoke(app, ["take", str(finished), digest, "--out", str(out), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["digest"] == digest
    done = CliRunner().invoke(app, ["front", str(tmp_path)])
    assert done.exit_code == 2


def test_an_unfinished_run_has_no_front(finished, tmp_path):
    (tmp_path / "request.json").write_text((finished / "request.json").read_text())
    with pytest.raises(RunError, match="not finished"):
        read_front(tmp_path)
    with pytest.raises(RunError, match="not finished"):
        take(tmp_path, "a", tmp_path / "model")


@pytest.mark.parametrize("criterion", ["auc", "grouped-auc"])
def test_the_criterion_ranks_chooses_and_stops(criterion, tmp_path):
    log = write_log(tmp_path)
    frame = pl.read_csv(log)
    groups = pl.Series("user", [i % 40 for i in range(frame.height)])
    frame.with_columns(groups).write_csv(log)
    from nasrec.data import Column, Schema

    columns = [Column(name="label", role="label"), Column(name="user", role="group")]
    columns += [
        Column(name=n, role="dense" if n.startswith("I") else "categorical")
        for n in frame.columns
        if n != "label"
    ]
    run = nasrec.search(
        log,
        schema=Schema(columns=tuple(columns)),
        out=tmp_path / "run",
        reporter=QUIET,
        criterion=criterion,
        baselines=["logreg"],
        **SETTINGS,
    )
    field = criterion.replace("-", "_")
    ranking = read(tmp_path / "run/search/ranking.json")
    values = [-entry[field] for entry in ranking["candidates"]]
    assert values == sorted(values)
    values = [-row[f"valid_{field}"] for row in run.leaderboard]
    assert values == sorted(values)
    for row in read(tmp_path / "run/leaderboard.json")["trials"]:
        assert math.isfinite(row["valid_grouped_auc"])
        assert row["bytes"] == 4 * (row["weights"] + row["embedding_weights"])
    best = run.leaderboard[0]
    trial = (best["blend"] or [best["trial"]])[0]
    history = (tmp_path / "run/retrain" / trial / "metrics.jsonl").read_text()
    measured = [json.loads(line)[f"valid_{field}"] for line in history.splitlines()]
    trials = {t["trial"]: t for t in read(tmp_path / "run/leaderboard.json")["trials"]}
    assert trials[trial][f"valid_{field}"] == max(measured)
    own = [t for t in trials.values() if t["family"] == best["family"] and t["digest"]]
    assert max(measured) == max(t[f"valid_{field}"] for t in own)
    assert "gAUC" in run.table
    assert math.isfinite(run.model.evaluate(log).grouped_auc)


# -- bad input ----------------------------------------------------------------------------------


def test_a_criterion_that_the_rows_do_not_have(tmp_path):
    with pytest.raises(ConfigError, match="role group"):
        nasrec.search(
            write_log(tmp_path), "label", tmp_path / "run", reporter=QUIET,
            criterion="grouped-auc", **SETTINGS,
        )  # fmt: skip


def test_a_setting_that_was_refused_can_be_mended(tmp_path):
    log, out = write_log(tmp_path), tmp_path / "run"
    one = {**SETTINGS, "baselines": [], "top_k": 1, "recipes": SETTINGS["recipes"][:1]}
    for limit in (1, 2):
        with pytest.raises(ConfigError, match="the cheapest needs"):
            nasrec.search(log, "label", out, reporter=QUIET, max_madds=limit, **one)
    made = (out / "data/manifest.json").stat().st_mtime_ns
    with pytest.raises(RunError, match="seed was 0, now 1"):
        nasrec.search(log, "label", out, reporter=QUIET, seed=1, **one)
    run = nasrec.search(log, "label", out, reporter=QUIET, max_madds=2000, **one)
    assert (out / "data/manifest.json").stat().st_mtime_ns == made
    assert run.config.max_madds == 2000
    with pytest.raises(RunError, match="max_madds was 2000"):
        nasrec.search(log, "label", out, reporter=QUIET, max_madds=2001, **one)


def costs_of(tmp_path, **limits) -> Costs:
    split = make_split(60)
    inputs = Inputs(split.dense.shape[1], (1000,) * split.sparse.shape[1])
    config = SearchConfig(space=SPACE, **limits).with_evaluations(30)
    return Costs(config, inputs, split, tmp_path / "latency.json")


def test_limits_that_nothing_meets_tell_the_smallest_possible(tmp_path):
    for limits, match in (
        ({"max_madds": 1}, r"the cheapest needs \d+ multiply-adds a row"),
        ({"max_weights": 1}, r"the cheapest needs \d+ weights"),
        ({"max_bytes": 1000}, r"needs [\d,]+ bytes, [\d,]+ of them for its embeddings"),
        ({"max_p99_ms": 1e-6}, r"the fastest took \S+ ms"),
    ):
        costs = costs_of(tmp_path, **limits)
        with pytest.raises(ConfigError, match=match):
            method_of(costs.config, costs)


def test_the_smallest_possible_is_what_the_error_says(tmp_path):
    import numpy as np

    free = costs_of(tmp_path)
    rng = np.random.default_rng(0)
    drawn = [free.counted(SPACE.sample(rng)) for _ in range(25)]
    for name in ("madds", "weights", "bytes"):
        least = min(free.counted(a)[name] for a in SPACE.narrowest())
        assert least <= min(counted[name] for counted in drawn)
        # and it can be met
        costs = costs_of(tmp_path, **{f"max_{name}": least})
        (first,) = method_of(costs.config, costs).ask()
        assert costs.counted(first)[name] == least


def test_a_tight_limit_is_searched_from_within(tmp_path):
    """Random draws hardly ever meet it."""
    costs = costs_of(tmp_path)
    limit = int(1.2 * min(costs.counted(a)["madds"] for a in SPACE.narrowest()))
    costs = costs_of(tmp_path, max_madds=limit)
    method = method_of(costs.config, costs)
    found = []
    for _ in range(4):
        for architecture in method.ask(1):
            found.append(architecture)
            method.tell(architecture, [0.5])
    assert len({a.digest for a in found}) == 4
    assert all(costs.counted(a)["madds"] <= limit for a in found)


def test_wrong_goals_name_the_nearest():
    for settings, match in (
        ({"criterion": "aucc"}, "did you mean 'auc'"),
        ({"costs": ["mads"]}, "did you mean 'madds'"),
        ({"costs": ["auc"]}, "no cost"),
        ({"costs": ["madds"], "method": "evolution"}, "nsga2"),
        ({"retrain": {"criterion": "auc"}}, "set criterion instead"),
    ):
        with pytest.raises(ConfigError, match=match):
            SearchConfig(**settings)
    config = config_from_options(objective="auc,bytes,madds")
    assert (config.criterion, config.costs, config.search_method) == (
        "auc", ("bytes", "madds"), "nsga2",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="give one of the two"):
        config_from_options(objective="logloss,madds", criterion="auc")
    done = CliRunner().invoke(app, ["search", "x.csv", "--max-madds", "many"])
    assert done.exit_code == 2
    assert "500k" in done.output
