"""From a raw click log to batches."""

from nasrec.data.batches import Split
from nasrec.data.dataset import PreparedData
from nasrec.data.encode import Encoder
from nasrec.data.infer import infer_schema
from nasrec.data.layout import Batch
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
