"""Studies: does the supernet order architectures as training from scratch does?"""

from nasrec.study.config import StudyConfig
from nasrec.study.run import run_ranking
from nasrec.study.variants import GROUPS, SUPERNETS, variants_named

__all__ = ["GROUPS", "SUPERNETS", "StudyConfig", "run_ranking", "variants_named"]
