"""What can be built: architectures, search spaces and path sampling, as pure data (no torch)."""

from nasrec.space.architecture import Architecture, Block, LiveBlock
from nasrec.space.named import (
    NASREC_FULL,
    NASREC_FULL_STUDY,
    NASREC_PLUS,
    NASREC_SMALL,
    NASREC_SMALL_STUDY,
    SPACES,
    load_space,
)
from nasrec.space.operators import OperatorInfo
from nasrec.space.published import PUBLISHED, load_architecture, published
from nasrec.space.sampling import STRATEGIES, PathSampler
from nasrec.space.space import SearchSpace

__all__ = [
    "NASREC_FULL",
    "NASREC_FULL_STUDY",
    "NASREC_PLUS",
    "NASREC_SMALL",
    "NASREC_SMALL_STUDY",
    "PUBLISHED",
    "SPACES",
    "STRATEGIES",
    "Architecture",
    "Block",
    "LiveBlock",
    "OperatorInfo",
    "PathSampler",
    "SearchSpace",
    "load_architecture",
    "load_space",
    "published",
]
