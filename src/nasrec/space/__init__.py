"""What can be built: architectures, search spaces and path sampling, as pure data (no torch)."""

from nasrec.space.architecture import Architecture, Block, LiveBlock
from nasrec.space.operators import OperatorInfo

__all__ = ["Architecture", "Block", "LiveBlock", "OperatorInfo"]
