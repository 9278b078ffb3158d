"""Makes the model folder that later versions must still load: python -m tests.serve.stored.make

Once a format version is released its folder is kept for good; a new version gets another.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nasrec
from nasrec.data import SyntheticLog, prepare
from nasrec.nn import ModelOptions
from nasrec.pipeline import Reporter
from nasrec.serve import calibrate
from nasrec.serve.folder import VERSION
from nasrec.space import NASREC_FULL
from nasrec.train import TrainConfig

HERE = Path(__file__).parent
LOG = SyntheticLog(n_dense=2, n_sparse=3, vocabulary=(5, 8, 12))


def make(folder: Path) -> None:
    """A searched network with every kind of operator, calibrated, with rows and their scores."""
    import numpy as np

    space = NASREC_FULL.with_(dense_dims=(8,), sparse_dims=(4,), blocks=3)
    architecture = space.maximal(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as scratch:
        data = prepare(LOG.generate(600), Path(scratch) / "data", label="label")
        trained = nasrec.train(
            data,
            architecture,
            Path(scratch) / "model",
            options=ModelOptions(embedding_dim=4, heads=2, merger_tokens=2),
            config=TrainConfig(epochs=2, batch_size=32),
            reporter=Reporter(quiet=True),
        )
        calibrate(trained, data.path, folder / "model", method="platt", negative_rate=0.5)
    rows = LOG.generate(20, stream=1).drop("label")
    rows.write_csv(folder / "rows.csv")
    nasrec.predict(folder / "model", rows, folder / "scores.csv")


if __name__ == "__main__":
    make(HERE / f"version-{VERSION}")
