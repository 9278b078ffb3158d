"""What people look at: architectures as text and as pictures, charts, the page of a run."""

from nasrec.report.drawing import drawing
from nasrec.report.page import page
from nasrec.report.picture import picture

__all__ = ["drawing", "page", "picture"]
