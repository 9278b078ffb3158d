from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from nasrec.errors import DataError, DivergenceError, RunError
from nasrec.train import (
    Adagrad,
    Checkpoints,
    JsonLines,
    LoopConfig,
    TrainConfig,
    build_optimizer,
    evaluate,
    fit,
    train_steps,
)
from nasrec.train.loop import derive_seed
from tests.train.helpers import TinyNet, make_split, same_weights
from tests.train.killed import TRAIN, run_fit

ROOT = Path(__file__).parents[2]


class KilledError(Exception):
    pass


def kill_at(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise KilledError

    return progress


def steps_of(result) -> list[dict]:
    """The history without its timings."""
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "rows_per_second")}
        for r in result.history
    ]


def test_the_loop_does_what_torch_does() -> None:
    ours, theirs = TinyNet(dropout=0.0), TinyNet(dropout=0.0)
    theirs.embedding.sparse = False
    split, config = make_split(100), LoopConfig(batch_size=30, schedule="constant", epochs=2)
    twin = torch.optim.Adagrad(theirs.parameters(), lr=0.12, eps=1e-2)
    steps = list(train_steps(lambda _: ours, split, Adagrad(), config, 4))
    assert [s.rows for s in steps] == [30, 30, 30, 10] * 2
    assert [s.done for s in steps] == list(range(1, 9))
    assert [s.epoch for s in steps] == [0] * 4 + [1] * 4
    for epoch in range(2):
        for batch in split.batches(30, shuffle_seed=derive_seed(4, 1, epoch)):
            loss = nn.functional.binary_cross_entropy_with_logits(
                theirs(batch.dense, batch.sparse), batch.labels
            )
            twin.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(theirs.parameters(), 5.0)
            twin.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_training_learns_and_logs(tmp_path: Path) -> None:
    train, valid = make_split(4000, 1), make_split(1000, 2)
    model = TinyNet(dropout=0.0)
    before = evaluate(model, valid).logloss
    with JsonLines(tmp_path / "metrics.jsonl") as log:
        result = fit(model, train, valid, TrainConfig(epochs=2, batch_size=64), log=log)
    assert result.best is not None
    assert result.best.logloss < before - 0.05
    assert result.best == evaluate(model, valid)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(result.history) == 2
    assert result.steps == 2 * math.ceil(4000 / 64)


def test_several_evaluations_an_epoch() -> None:
    config = TrainConfig(epochs=2, batch_size=32, evaluations_per_epoch=3, patience=None)
    result = fit(TinyNet(), make_split(320), make_split(50), config)
    assert [r["step"] for r in result.history] == [3, 7, 10, 13, 17, 20]
    many = config.model_copy(update={"evaluations_per_epoch": 50})
    assert len(fit(TinyNet(), make_split(320), make_split(50), many).history) == 20


@pytest.mark.parametrize("checkpointed", [False, True])
def test_early_stopping_restores_the_best_weights(checkpointed, tmp_path: Path) -> None:
    # 60 rows learnt by heart: validation loss rises soon
    model, valid = TinyNet(dropout=0.0), make_split(300, 2)
    config = TrainConfig(
        epochs=60, batch_size=20, learning_rate=0.5, schedule="constant", patience=3
    )
    folder = tmp_path / "checkpoint" if checkpointed else None
    result = fit(model, make_split(60, 1), valid, config, checkpoint=folder)
    losses = [r["valid_logloss"] for r in result.history]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3 < 60
    assert result.best_step == result.history[best]["step"] < result.steps
    assert result.best is not None
    assert result.best.logloss == losses[best] == evaluate(model, valid).logloss
    if folder:  # a finished training is not repeated
        again = TinyNet(dropout=0.0)
        repeated = fit(again, make_split(60, 1), valid, config, checkpoint=folder)
        assert same_weights(model, again)
        assert repeated.history == result.history
        assert repeated.best == result.best


def test_without_validation_rows() -> None:
    result = fit(TinyNet(), make_split(100), None, TrainConfig(epochs=2))
    assert result.best is None
    assert [r["valid_logloss"] for r in result.history] == [None, None]
    many = TrainConfig(epochs=6, patience=1)
    assert fit(TinyNet(), make_split(100), None, many).steps == 6


@pytest.mark.parametrize("at", [1, 6, 13, 20, 39])
def test_an_interrupted_training_goes_on_to_the_same_end(at, tmp_path: Path) -> None:
    straight, expected = run_fit(None)
    args = (make_split(400, 1), make_split(150, 2), TRAIN, 5)
    with pytest.raises(KilledError):
        fit(
            TinyNet(seed=3),
            *args,
            checkpoint=tmp_path / "c",
            checkpoint_seconds=0.0 if at % 2 else 1e9,  # mid-epoch, or at evaluations only
            progress=kill_at(at),
        )
    torch.manual_seed(99)
    resumed = TinyNet(seed=8)  # its weights come from the checkpoint, if there is one
    if not list((tmp_path / "c").glob("step-*")):
        resumed = TinyNet(seed=3)
    result = fit(resumed, *args, checkpoint=tmp_path / "c")
    assert same_weights(straight, resumed)
    assert steps_of(result) == steps_of(expected)
    assert result.best == expected.best


def kill_one(kind: str, folder: Path) -> None:
    """Start the training in a process of its own and kill it after some checkpoints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.train.killed", kind, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not any(int(p.name[5:]) > 2 for p in folder.glob("step-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert b"finished" not in out


def test_kill_9_and_resume_gives_the_same_weights(tmp_path: Path) -> None:
    kill_one("fit", tmp_path / "c")
    straight, expected = run_fit(None)
    resumed, result = run_fit(tmp_path / "c")
    assert same_weights(straight, resumed)
    assert steps_of(result) == steps_of(expected)
    assert result.seconds > expected.seconds / 10


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    args = (make_split(100), make_split(50))
    fit(TinyNet(), *args, TrainConfig(batch_size=50), checkpoint=tmp_path)
    with pytest.raises(RunError, match=r"config\.batch_size was 50, is 25; seed|seed was 0, is 1"):
        fit(TinyNet(), *args, TrainConfig(batch_size=25), seed=1, checkpoint=tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    args = (make_split(100), make_split(50), TrainConfig())
    fit(TinyNet(), *args, checkpoint=tmp_path)
    (step,) = tmp_path.glob("step-*")
    weights = step / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(RunError, match=r"weights\.safetensors"):
        fit(TinyNet(), *args, checkpoint=tmp_path)
    (step / "state.json").write_text("{")
    with pytest.raises(RunError, match=r"state\.json cannot be read"):
        fit(TinyNet(), *args, checkpoint=tmp_path)


def test_checkpoints_keep_only_what_is_needed(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, {"seed": 1})
    (tmp_path / ".step-9.x.tmp").mkdir()
    for step in (1, 2, 10):
        store.save(step, {"n": step}, lambda f: (f / "x").write_text("x") and None, keep=(2,))
    assert {p.name for p in tmp_path.iterdir() if p.name[0] != "."} == {"step-2", "step-10"}
    latest = Checkpoints(tmp_path, {"seed": 1}).latest()
    assert latest is not None
    assert (latest.step, latest.state) == (10, {"n": 10})
    assert not (tmp_path / ".step-9.x.tmp").exists()


class Exploding(TinyNet):
    def forward(self, dense, sparse):
        logits = super().forward(dense, sparse)
        self.calls = getattr(self, "calls", 0) + 1
        return logits * float("nan") if self.calls == 4 else logits


def test_a_nan_loss_stops_before_it_touches_the_weights() -> None:
    model = Exploding(dropout=0.0)
    steps = train_steps(lambda _: model, make_split(200), Adagrad(), LoopConfig(batch_size=20), 0)
    for _ in range(3):
        next(steps)
    before = model.hidden.weight.detach().clone()
    with pytest.raises(DivergenceError, match="step 3 of 10, Exploding"):
        next(steps)
    assert torch.equal(before, model.hidden.weight)


def test_no_training_rows_is_a_clear_error() -> None:
    with pytest.raises(DataError, match="no training rows"):
        fit(TinyNet(), make_split(0), None)


def test_the_seed_decides() -> None:
    def run(seed: int) -> nn.Module:
        model = TinyNet()
        state = torch.get_rng_state()
        fit(model, make_split(200), None, TrainConfig(batch_size=32), seed)
        assert torch.equal(state, torch.get_rng_state())  # the caller's draws are not disturbed
        return model

    assert same_weights(run(1), run(1))
    assert not same_weights(run(1), run(2))


def test_json_lines_end_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st')
    with JsonLines(path) as log:
        log({"step": 2, "auc": math.nan})
    assert path.read_text().splitlines() == ['{"step": 1}', '{"st', '{"step": 2, "auc": null}']


@pytest.mark.parametrize("criterion", ["logloss", "auc"])
def test_the_rate_falls_where_validation_gets_no_better(criterion) -> None:
    config = TrainConfig(
        batch_size=50, epochs=12, learning_rate=0.5, schedule="plateau", warmup_fraction=0,
        plateau_factor=0.5, criterion=criterion, patience=None,
    )  # fmt: skip
    result = fit(TinyNet(), make_split(200), make_split(300, 1), config)
    sign = -1 if criterion == "auc" else 1
    seen = [sign * record[f"valid_{criterion}"] for record in result.history]
    rate, expected = 0.5, []
    for i, value in enumerate(seen):
        expected.append(rate)
        if i and value >= min(seen[:i]):
            rate /= 2
    assert [record["lr"] for record in result.history] == expected
    assert rate < 0.5
    best = min(range(len(seen)), key=seen.__getitem__)
    assert result.best_step == result.history[best]["step"]


def test_a_plateau_is_kept_over_a_kill(tmp_path: Path) -> None:
    config = TrainConfig(
        batch_size=50, epochs=8, schedule="plateau", learning_rate=1.0, patience=None
    )
    args = (make_split(200), make_split(300, 1), config)
    straight = TinyNet()
    expected = fit(straight, *args)
    assert len({record["lr"] for record in expected.history}) > 2
    with pytest.raises(KilledError):
        fit(TinyNet(), *args, checkpoint=tmp_path, progress=kill_at(26))
    resumed = TinyNet()
    assert steps_of(fit(resumed, *args, checkpoint=tmp_path)) == steps_of(expected)
    assert same_weights(straight, resumed)


def test_steps_flush_denormals_and_leave_the_caller_as_he_was() -> None:
    def flushed() -> bool:
        return bool(torch.tensor(1e-38) * 0.1 == 0)

    config = TrainConfig(batch_size=8)
    steps = train_steps(lambda _: TinyNet(), make_split(16), build_optimizer(config), config, 0)
    assert not flushed()
    for _ in steps:
        assert flushed()
    assert not flushed()
