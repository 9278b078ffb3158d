"""Studies: does the supernet order architectures as training from scratch does?"""

from nasrec.study.config import StudyConfig
from nasrec.study.run import STUDIES, run_study
from nasrec.study.variants import GROUPS, SUPERNETS, variants_named

__all__ = [
    "GROUPS",
    "STUDIES",
    "SUPERNETS",
    "StudyConfig",
    "run_study",
    "variants_named",
]
