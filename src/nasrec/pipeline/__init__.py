"""The run folder and its stages, one file each."""

from nasrec.pipeline.data import describe_data, inputs_of
from nasrec.pipeline.folder import RunFolder
from nasrec.pipeline.progress import Reporter
from nasrec.pipeline.report import write_report
from nasrec.pipeline.run import Run, open_run, search
from nasrec.pipeline.single import train

__all__ = [
    "Reporter",
    "Run",
    "RunFolder",
    "describe_data",
    "inputs_of",
    "open_run",
    "search",
    "train",
    "write_report",
]
