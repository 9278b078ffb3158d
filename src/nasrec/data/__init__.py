"""From a raw click log to batches."""

from nasrec.data.dataset import Batch, PreparedData, Split
from nasrec.data.encode import Encoder
from nasrec.data.infer import infer_schema
from nasrec.data.prepare import prepare
from nasrec.data.schema import Column, Schema
from nasrec.data.synthetic import SyntheticLog

__all__ = [
    "Batch",
    "Column",
    "Encoder",
    "PreparedData",
    "Schema",
    "Split",
    "SyntheticLog",
    "infer_schema",
    "prepare",
]
