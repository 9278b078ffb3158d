"""Makes the model folder that later versions must still load: python -m tests.serve.stored.make

Version 4 is a blend, the first that could be one; those before are of one network.

Once a format version is released its folder is kept for good; a new version gets another.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nasrec
from nasrec.data import SyntheticLog, prepare
from nasrec.nn import Blend, ModelOptions
from nasrec.pipeline import Reporter, inputs_of
from nasrec.pipeline.trials import Trial, run_trial
from nasrec.serve import ModelSpec, calibrate, load_model, save_model
from nasrec.serve.folder import VERSION
from nasrec.serve.spec import blend_of
from nasrec.space import NASREC_FULL
from nasrec.train import TrainConfig

HERE = Path(__file__).parent
QUIET = Reporter(quiet=True)
LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))


def make(folder: Path) -> None:
    """A blend, of a network with every kind of operator and a hand-made one, calibrated, with rows
    and their scores."""
    import numpy as np

    space = NASREC_FULL.with_(dense_dims=(8,), sparse_dims=(4,), blocks=3)
    architecture = space.maximal(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as scratch:
        data = prepare(LOG.generate(600), Path(scratch) / "data", label="label")
        options = ModelOptions(embedding_dim=4, heads=2, merger_tokens=2, hidden=(8,))
        inputs, config = inputs_of(data), TrainConfig(epochs=2, batch_size=32)
        results = [
            run_trial(
                Trial(spec.model, "nasrec", spec, config, 0),
                data,
                Path(scratch) / spec.model,
                QUIET,
            )
            for spec in (
                ModelSpec("nasrec", inputs, options, architecture),
                ModelSpec("mlp", inputs, options),
            )
        ]
        network = Blend([result.network() for result in results], [0.75, 0.25], 0.1)
        spec = blend_of([result.trial.spec for result in results])
        metrics = {"valid": results[0].valid, "test": results[0].test(data)}
        save_model(
            Path(scratch) / "model", spec, network.state_dict(), data, metrics=metrics, config={}
        )
        model = load_model(Path(scratch) / "model")
        calibrate(model, data.path, folder / "model", method="platt", negative_rate=0.5)
    rows = LOG.generate(20, stream=1).drop("label")
    rows.write_csv(folder / "rows.csv")
    nasrec.predict(folder / "model", rows, folder / "scores.csv")


if __name__ == "__main__":
    make(HERE / f"version-{VERSION}")
