"""The ranking study on a space and a log as small as they go."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from nasrec.cli import app
from nasrec.errors import ConfigError, RunError
from nasrec.nn import ModelOptions
from nasrec.pipeline import Reporter
from nasrec.pipeline.data import DataRequest
from nasrec.search import SCORE_RECIPES, ScoreConfig
from nasrec.search.correlation import kendall
from nasrec.study import StudyConfig, run_study, variants_named
from nasrec.study import scores as scores_module
from nasrec.study import truth as truth_module
from nasrec.study.proxies import PROXIES
from nasrec.study.ranker import with_ranker
from nasrec.study.ranking import HEAD
from nasrec.study.truth import draw_subnets, folder_of
from nasrec.train import TrainConfig
from tests.end_to_end.tiny import SPACE, write_log
from tests.train.helpers import make_split

ONE_BLOCK = SPACE.with_(blocks=1, dense_dims=(8,), sparse_dims=(4,))
CONFIG = StudyConfig(
    space=ONE_BLOCK,
    subnets=5,
    rows=300,
    model=ModelOptions(embedding_dim=8),
    training=TrainConfig(batch_size=64),
    scoring=ScoreConfig(finetune_steps=3, finetune_batch=50),
)
QUIET = Reporter(quiet=True)
NO_SUPERNET = 3 + len(PROXIES)  # rows of the table


def study(log, out, variants="paper,no-warmup", config=CONFIG, **more) -> None:
    run_study("ranking", log, out, config, QUIET, variants=variants_named(variants), **more)


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> DataRequest:
    return DataRequest(write_log(tmp_path_factory.mktemp("study"), 600), "label")


@pytest.fixture(scope="module")
def finished(log, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "study"
    study(log, out)
    return out


def result(out: Path) -> dict:
    return json.loads((out / "ranking.json").read_text())


TIMES = {"supernet_seconds", "score_seconds", "truth_seconds"}


def timeless(out: Path) -> dict:
    found = result(out)
    found["rows"] = [{k: v for k, v in row.items() if k not in TIMES} for row in found["rows"]]
    found["data"].pop("path")
    return {k: v for k, v in found.items() if k not in TIMES}


def test_a_ranker_learns_from_the_scores_of_others():
    space = SPACE.with_(blocks=2)
    rng = np.random.default_rng(0)
    subnets = [space.sample(rng) for _ in range(60)]
    width = np.array([a.blocks[1].dense_dim for a in subnets], float)
    truth = np.log(width) * np.array([a.live[1].dense for a in subnets])
    noisy = truth + rng.normal(0, truth.std(), (2, 60))
    mended, once = with_ranker(space, subnets, noisy), np.ones((1, 60))
    assert mended.shape == (2, 60)
    for before, after in zip(noisy, mended, strict=True):
        assert kendall(after, truth, once) > kendall(before, truth, once)
    changed = noisy.copy()
    changed[:, 0] = noisy.max() + 1  # one's own score moves its rank, not what is predicted
    ranks = np.argsort(np.argsort(noisy[0])) / 59, np.argsort(np.argsort(changed[0])) / 59
    own = with_ranker(space, subnets, changed)[0, 0] - ranks[1][0]
    assert own == pytest.approx(mended[0, 0] - ranks[0][0])


def test_what_is_measured_and_written(finished):
    found = result(finished)
    assert len(found["subnets"]) == 5
    assert all(len(s["logloss"]) == 2 and min(s["logloss"]) > 0 for s in found["subnets"])
    names = [(row["name"], row["scoring"]) for row in found["rows"]]
    assert names[NO_SUPERNET:] == [
        (name, how) for name in ("paper", "no-warmup") for how in CONFIG.scorings
    ]
    same = found["rows"][NO_SUPERNET + 1]  # differences are to the first that is fine-tuned
    assert same["difference"]["kendall"] == {"value": 0, "low": 0, "high": 0}
    stats = pytest.importorskip("scipy.stats")
    truth = np.mean([s["logloss"] for s in found["subnets"]], axis=1)
    for row in found["rows"]:
        taus = [stats.kendalltau(scores, truth)[0] for scores in row["scores"]]
        if not math.isnan(taus[0]):
            assert row["statistics"]["kendall"]["value"] == pytest.approx(np.mean(taus))
    ceiling = stats.kendalltau(*np.array([s["logloss"] for s in found["subnets"]]).T)[0]
    assert found["repeatability"]["value"] == pytest.approx(ceiling)
    text = (finished / "ranking.md").read_text()
    assert text.startswith("| " + HEAD[0])
    assert all(f"| {name}, {how} |" in text for name, how in names[NO_SUPERNET:])
    figure = ElementTree.parse(finished / "ranking.svg").getroot()
    assert sum(element.get("class") == "chart" for element in figure.iter()) == 4
    assert not list(finished.rglob("*.safetensors")), "no weights are kept"


@pytest.mark.slow
def test_a_study_that_lost_its_last_steps_ends_the_same(log, finished, tmp_path):
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    (out / "ranking.json").unlink()
    shutil.rmtree(folder_of(out, 4, 1))
    (folder_of(out, 3, 0) / "test.json").unlink()  # its weights are gone too
    (folder_of(out, 3, 0) / "result.json").unlink()
    (out / "scores" / "no-warmup-seed-1" / "supernet.json").unlink()
    journal = out / "scores" / "no-warmup-seed-1" / "fine-tuned.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
    study(log, out)
    assert timeless(out) == timeless(finished)
    more = {"others": ("calm", "norms", "all:3x20", "whole", "calibrated", "scratch:3x20")}
    study(log, out, "paper", CONFIG.model_copy(update=more))
    found = [(row["name"], row["scoring"]) for row in result(out)["rows"]][NO_SUPERNET:]
    others = ["calmly fine-tuned", "norms fine-tuned, 60 x 512", "all fine-tuned, 3 x 20", "whole"]
    with_one = [*CONFIG.scorings, *others, "fine-tuned, calibrated"]
    told = [*(("paper", how) for how in with_one), ("no-supernet", "scratch, 3 x 20")]
    assert found == told


def test_a_finished_study_trains_nothing_again(log, finished, monkeypatch):
    monkeypatch.setattr(scores_module, "train_supernet", None)
    monkeypatch.setattr("nasrec.study.truth.run_trial", None)
    before = timeless(finished)
    study(log, finished)
    assert timeless(finished) == before


def test_other_settings_are_refused_and_other_variants_are_not(log, finished):
    with pytest.raises(RunError, match=r"rows was 300, now 200"):
        study(log, finished, config=CONFIG.model_copy(update={"rows": 200}))
    with pytest.raises(ConfigError, match="did you mean 'any-any'"):
        variants_named("paper,any-ny")
    study(log, finished, "paper", ranker=True)
    rows = result(finished)["rows"][NO_SUPERNET:]
    assert [(row["name"], row.get("ranker", False)) for row in rows] == [
        ("paper", mended) for mended in (False, True) * 2
    ]
    assert "| paper, fine-tuned, ranker |" in (finished / "ranking.md").read_text()
    study(log, finished)


def test_more_subnets_are_the_same_and_some_more():
    few = [a.digest for a in draw_subnets(CONFIG)]
    more = [a.digest for a in draw_subnets(CONFIG.model_copy(update={"subnets": 9}))]
    assert more[:5] == few
    assert len(set(more)) == 9
    with pytest.raises(ConfigError, match="different networks"):
        draw_subnets(CONFIG.model_copy(update={"subnets": 1000}))


def test_a_study_grows_by_subnets_that_are_trained_once(log, finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "once")
    trained, scored = [], []
    train, score = truth_module.run_trial, scores_module.Scorer.score
    monkeypatch.setattr(
        truth_module, "run_trial", lambda trial, *a: trained.append(trial.name) or train(trial, *a)
    )
    monkeypatch.setattr(
        scores_module.Scorer, "__call__", lambda self, a: scored.append(a.digest) or score(self, a)
    )
    config = CONFIG.model_copy(update={"subnets": 6, "repeated": 5, "supernets": 1})
    monkeypatch.setattr("nasrec.study.ranking.scores_seconds", lambda *a: 0.0)  # scores some too
    study(log, tmp_path / "once", "paper", config)
    assert trained == ["subnet-5-seed-0"]
    assert scored == [draw_subnets(config)[5].digest] * len(CONFIG.scorings)
    found, before = result(tmp_path / "once"), result(finished)
    for few, many in zip(before["rows"], found["rows"], strict=False):
        assert many["scores"][0][:5] == few["scores"][0]
    assert [len(s["logloss"]) for s in found["subnets"]] == [2, 2, 2, 2, 2, 1]
    assert [s["logloss"] for s in found["subnets"][:5]] == [s["logloss"] for s in before["subnets"]]
    assert found["repeatability"]["value"] == before["repeatability"]["value"]
    assert found["repeated"] == 5
    assert all(len(row["scores"]) == 1 for row in found["rows"])
    by_depth = {d["used_blocks"]: d for d in found["depths"]}
    assert sum(d["subnets"] for d in by_depth.values()) == 6
    for depth, told in by_depth.items():
        losses = [np.mean(s["logloss"]) for s in found["subnets"] if s["used_blocks"] == depth]
        assert told["logloss"] == pytest.approx(np.mean(losses))
        assert told["best"] == pytest.approx(min(losses))


def test_ways_to_score_by_name():
    ways = StudyConfig(others=("all:3x20@0.12", "norms")).scorings
    falling, norms = ways["all fine-tuned, 3 x 20, from 0.12"], ways["norms fine-tuned, 60 x 512"]
    assert (falling.scope, falling.finetune_steps, falling.finetune_batch) == ("all", 3, 20)
    assert (falling.learning_rate, falling.schedule) == (0.12, "cosine")
    assert (norms.scope, norms.learning_rate, norms.schedule) == ("norms", 0.04, "constant")
    sized = StudyConfig(others=("whole:3", "scratch", "scratch:5x20"), scoring={"valid_rows": 9})
    whole, alone = SCORE_RECIPES["whole"], SCORE_RECIPES["scratch"]
    some = {"valid_rows": 9, "finetune_steps": 3}
    assert sized.scorings["whole, 3 x 512"] == whole.model_copy(update=some)
    some = {"valid_rows": 9, "finetune_steps": 5, "finetune_batch": 20}
    assert sized.scorings_with(supernet=False) == {
        "scratch": alone.model_copy(update={"valid_rows": 9}),
        "scratch, 5 x 20": alone.model_copy(update=some),
    }
    for wrong in ("all:0", "all:3x", "head:3", "all@0.1", "all:3@0"):
        with pytest.raises(ConfigError, match="is none of whole"):
            StudyConfig(others=(wrong,))


def test_a_share_of_the_rows_trains_a_supernet():
    variant = variants_named("paper:0.2")["paper:0.2"]
    assert (variant.share, variant.epochs) == (0.2, 1)
    part = variant.rows_of(log_split := make_split(1000), 0)
    assert len(part) == 200
    assert np.isin(part.dense[:, 0], log_split.dense[:, 0]).all()
    with pytest.raises(ConfigError, match="no number of epochs"):
        variants_named("paper:1.5")


def test_groups_hold_variants_once():
    assert list(variants_named("strategies,warmup")) == [
        "paper", "single-single", "any-any", "short-warmup", "no-warmup",
    ]  # fmt: skip
    assert {name: v.epochs for name, v in variants_named("paper, warmup:3").items()} == {
        "paper": 1, "paper:3": 3, "short-warmup:3": 3, "no-warmup:3": 3,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no number of epochs"):
        variants_named("paper:0")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--subnets", "3"], "greater than or equal to 5"),
        (["--variants", "papr"], "did you mean 'paper'"),
        (["--seeds", "0"], "seeds = 0"),
        (["--score", "some"], "'some' is none of whole, scratch"),
        (["--space", "huge"], "no search space"),
    ],
)
def test_bad_input_at_the_command_line(log, tmp_path, more, words):
    out = tmp_path / "study"
    args = ["study", "ranking", str(log.data), "--label", "label", "--out", str(out), *more]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not out.exists()


@pytest.mark.slow
def test_one_dot_product_against_the_other(log, tmp_path):
    space = ONE_BLOCK.with_(dense_ops=("DP", "FC"))
    config = CONFIG.model_copy(update={"space": space, "seeds": 1})
    out = tmp_path / "study"
    found, _ = run_study("interactions", log, out, config, QUIET)
    balanced, plain = found["rows"]
    assert [row["name"] for row in found["rows"]] == ["DP", "PlainDP"]
    for ours, theirs in zip(balanced["subnets"], plain["subnets"], strict=True):
        assert json.loads(json.dumps(ours).replace('"DP"', '"PlainDP"')) == theirs
    for row in found["rows"]:
        assert len(row["logloss"]) == 5
        assert min(row["supernet_rows_per_second"], row["weights"], row["madds"]) > 0
        assert -1 <= row["statistics"]["kendall"]["value"] <= 1
    assert balanced["supernet_weights"] != plain["supernet_weights"]
    assert "| PlainDP |" in (out / "interactions.md").read_text()
    again, _ = run_study("interactions", log, out, config, QUIET)
    assert [row["logloss"] for row in again["rows"]] == [row["logloss"] for row in found["rows"]]
    with pytest.raises(ConfigError, match="has no operator DP"):
        only = config.model_copy(update={"space": space.with_(dense_ops=("FC",))})
        run_study("interactions", log, tmp_path / "none", only, QUIET)


def test_unknown_studies_are_refused():
    done = CliRunner().invoke(app, ["study", "rankings"])
    assert done.exit_code == 2
    assert "rankings" in done.stderr
    with pytest.raises(ConfigError, match="did you mean 'ranking'"):
        run_study("rankings", DataRequest("log.csv"), Path("out"), CONFIG)


@pytest.mark.slow
def test_the_other_studies_share_the_ground_truth(log, finished, monkeypatch):
    trained = []
    real = truth_module.run_trial
    monkeypatch.setattr(
        truth_module, "run_trial", lambda trial, *a: trained.append(trial.name) or real(trial, *a)
    )
    truth = result(finished)["subnets"]
    losses = np.mean([s["logloss"] for s in truth], axis=1)

    found, text = run_study("cdf", log, finished, CONFIG, QUIET)
    assert not trained
    assert found["quantiles"]["0.0"]["value"] == pytest.approx(losses.min())
    assert found["quantiles"]["0.5"]["value"] == pytest.approx(np.median(losses))
    assert found["quantiles"]["1.0"]["value"] == pytest.approx(losses.max())
    assert "between trainings" in text

    given = {"baselines": ["logreg"], "architectures": [str(finished / "arch.json")]}
    (finished / "arch.json").write_text(json.dumps(truth[0]["architecture"]))
    found, text = run_study("cost", log, finished, CONFIG, QUIET, **given)
    assert sorted({name.rsplit("-seed", 1)[0] for name in trained}) == sorted(
        ["logreg", str(finished / "arch.json")]
    )
    rows = {row["name"]: row for row in found["rows"]}
    again = rows[str(finished / "arch.json")]
    assert again["logloss"] == pytest.approx(truth[0]["logloss"])
    assert again["madds"] == truth[0]["madds"]
    assert rows["logreg"]["kind"] == "hand-made"
    assert [row["loss"] for row in found["rows"]] == sorted(row["loss"] for row in found["rows"])

    del trained[:]
    options = {"variants": variants_named("paper"), "evaluations": 6, "top_k": 2}
    found, text = run_study("searched", log, finished, CONFIG, QUIET, **options)
    assert [row["scoring"] for row in found["rows"]] == list(CONFIG.scorings)
    assert 1 <= len(trained) <= 12
    again, _ = run_study("searched", log, finished, CONFIG, QUIET, **options)
    assert again == found
    options["pairs"] = [("paper", "fine-tuned")]
    again, text = run_study("searched", log, finished, CONFIG, QUIET, **options)
    assert again["rows"] == found["rows"][1:]
    assert again["rows"][0]["score_rows"] == 6 * 3 * 50
    assert "+0.0000" in text
    with pytest.raises(ConfigError, match="no search with paper, whole"):
        run_study(
            "searched", log, finished, CONFIG, QUIET, **options | {"pairs": [("paper", "whole")]}
        )
    del options["pairs"]
    assert not list(finished.rglob("*.safetensors"))

    del trained[:]
    options |= {"names": ["random", "relaxed"], "evaluations": 3, "top_k": 1, "scratch": 2}
    found, text = run_study("methods", log, finished, CONFIG, QUIET, **options)
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == ["random", "relaxed", "random, from scratch", "guided, from scratch"]
    assert all(len(row["logloss"]) == 2 for row in rows.values())
    n = found["data"]["rows"]["train"]  # supernet, one training from scratch; its relaxed copy
    assert [row["rows"] for row in rows.values()] == [2 * n, 3 * n, 2 * n, 2 * n]
    assert trained
    again, _ = run_study("methods", log, finished, CONFIG, QUIET, **options)
    assert again == found
    for names, match in ((["evolutoin"], "did you mean 'evolution'"), (["nsga2"], "of one goal")):
        with pytest.raises(ConfigError, match=match):
            run_study("methods", log, finished, CONFIG, QUIET, **{**options, "names": names})
    for name in ("cdf", "cost", "searched", "methods"):
        ElementTree.parse(finished / f"{name}.svg")


@pytest.mark.slow
def test_kill_9_and_resume(log, finished, tmp_path):
    out = tmp_path / "study"
    code = (
        "from pathlib import Path; import sys\n"
        "from tests.study.test_ranking import *\n"
        f"study(DataRequest({str(log.data)!r}, 'label'), Path({str(out)!r}))"
    )
    for marker in ("truth/subnet-2-seed-0/test.json", "scores/paper-seed-1/supernet.json"):
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL
        )
        while not (out / marker).is_file():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
    study(log, out)
    assert timeless(out) == timeless(finished)
