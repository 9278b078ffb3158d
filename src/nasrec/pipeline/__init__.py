"""The run folder and its stages, one file each."""

from nasrec.pipeline.compare import Comparison, compare
from nasrec.pipeline.data import describe_data, inputs_of
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.report import write_report
from nasrec.pipeline.run import Run, open_run, search
from nasrec.pipeline.single import train

__all__ = [
    "Comparison",
    "Reporter",
    "Run",
    "RunFolder",
    "compare",
    "describe_data",
    "inputs_of",
    "open_run",
    "search",
    "train",
    "write_report",
]
