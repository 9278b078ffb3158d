"""Stage 2: train the shared weights of the whole space."""

from __future__ import annotations

import shutil

from nasrec.config import SearchConfig
from nasrec.data import PreparedData
from nasrec.nn import SharedWeights
from nasrec.pipeline.data import inputs_of, some_rows
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.progress import Reporter
from nasrec.train import train_supernet
from nasrec.train.device import device_of


def supernet_stage(
    run: RunFolder, data: PreparedData, config: SearchConfig, tell: Reporter
) -> SharedWeights:
    """The trained shared weights of this run."""
    shared = untrained(data, config)
    weights, checkpoint = run.supernet / "weights.safetensors", run.supernet / "checkpoint"
    if not weights.is_file():
        rows = some_rows(data.train, config.search_rows, config.seed)
        batch = min(config.supernet.batch_size, len(rows))
        with (
            tell.log("supernet", run.supernet) as log,
            tell.bar("Training the supernet", "rows", batch) as progress,
        ):
            result = train_supernet(
                shared,
                rows,
                config.supernet,
                config.seed,
                log=log,
                checkpoint=checkpoint,
                progress=progress,
            )
        shared.save(weights)
        run.stage_done("supernet", result.seconds)
    else:
        shared.load(weights)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return shared


def untrained(data: PreparedData, config: SearchConfig) -> SharedWeights:
    """The shared weights of a search before any training."""
    return SharedWeights(
        config.space,
        inputs_of(data),
        config.supernet_options,
        seed=config.seed,
        device=device_of(config.device),
    )
