from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nasrec.errors import ConfigError, DivergenceError
from nasrec.nn import NASRecNet, SharedWeights
from nasrec.space import STRATEGIES
from nasrec.train import Adagrad, LoopConfig, SupernetConfig, evaluate, train_steps, train_supernet
from tests.train.helpers import INPUTS, OPTIONS, make_shared, make_split, same_weights
from tests.train.killed import SUPERNET, run_supernet
from tests.train.test_loop import ROOT, KilledError, kill_at, kill_one


def same_store(a: SharedWeights, b: SharedWeights) -> bool:
    return a.tensors.keys() == b.tensors.keys() and all(
        torch.equal(a.tensors[n], b.tensors[n]) for n in a.tensors
    )


def fingerprint(shared: SharedWeights) -> str:
    digest = hashlib.sha256()
    for name in sorted(shared.tensors):
        digest.update(name.encode() + shared.tensors[name].numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns(strategy) -> None:
    shared, split = make_shared(), make_split(6400, 1)
    result = train_supernet(shared, split, SupernetConfig(batch_size=32, strategy=strategy))
    assert [r["step"] for r in result.history] == [50, 100, 150, 200]
    losses = [r["train_logloss"] for r in result.history]
    assert losses[-1] < losses[0]
    metrics = evaluate(shared.subnet(shared.space.maximal()), make_split(1000, 2))
    assert metrics.auc > 0.7


def test_a_fixed_architecture_trains_as_its_standalone_twin() -> None:
    shared = make_shared(seed=2)
    arch = shared.space.maximal()
    config = LoopConfig(batch_size=50)
    alone = shared.extract(arch)
    split = make_split(500)
    of_store = Adagrad(shape_of=shared.shape)
    for _ in train_steps(lambda _: shared.subnet(arch), split, of_store, config, 1):
        pass
    for _ in train_steps(lambda _: alone, split, Adagrad(), config, 1):
        pass
    assert same_weights(shared.extract(arch), alone)
    assert not same_weights(NASRecNet(arch, INPUTS, OPTIONS, seed=2), alone)


@pytest.mark.slow
def test_the_same_in_another_process() -> None:
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from tests.train.test_supernet import fingerprint\n"
        "from tests.train.killed import run_supernet\n"
        "print(fingerprint(run_supernet(None)[0]))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert out.stdout.decode().strip() == fingerprint(run_supernet(None)[0])


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    straight, expected = run_supernet(None)
    with pytest.raises(KilledError):
        train_supernet(
            make_shared(seed=7),
            make_split(1000, 1),
            SUPERNET,
            seed=5,
            checkpoint=tmp_path,
            checkpoint_seconds=0.0,
            progress=kill_at(20),
        )
    resumed, result = run_supernet(tmp_path)
    assert same_store(straight, resumed)
    assert [r["train_logloss"] for r in result.history] == [
        r["train_logloss"] for r in expected.history
    ]
    again, repeated = run_supernet(tmp_path)
    assert same_store(straight, again)
    assert repeated.history == result.history


def test_kill_9_and_resume(tmp_path: Path) -> None:
    kill_one("supernet", tmp_path / "c")
    straight, _ = run_supernet(None)
    resumed, _ = run_supernet(tmp_path / "c")
    assert same_store(straight, resumed)


def test_divergence_names_step_and_architecture() -> None:
    shared = make_shared()
    shared.subnet(shared.space.maximal())
    shared.tensors["head.bias"].fill_(float("nan"))
    with pytest.raises(DivergenceError) as caught:
        train_supernet(shared, make_split(100), SupernetConfig(batch_size=10))
    assert "step 0 of 10, architecture " in str(caught.value)
    assert '"blocks":[' in str(caught.value)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="strategy"):
        train_supernet(make_shared(), make_split(100), SupernetConfig(strategy="both"))
