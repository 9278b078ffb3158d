"""The paper's search spaces, by name or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasrec.errors import SpaceError
from nasrec.space.space import SearchSpace

#: NASRec-Full (paper section 3): every operator; one operator per branch, as in its evolution.
NASREC_FULL = SearchSpace(
    name="full",
    dense_ops=("FC", "SG", "Sum", "DP"),
    sparse_ops=("EFC", "Attn"),
    dense_dims=(16, 32, 64, 128, 256, 512, 768, 1024),
    sparse_dims=(16, 32, 48, 64),
)

#: NASRec-Small (paper section 3): the operators of hand-made models.
NASREC_SMALL = NASREC_FULL.with_(name="small", dense_ops=("FC", "DP"), sparse_ops=("EFC",))

#: Ours: Small and one fully connected layer over vectors and all embeddings, as MLPs begin with. In
#: the paper's spaces the dense branch sees categories through products only; where a log has few
#: numeric columns that is little.
NASREC_PLUS = NASREC_SMALL.with_(name="plus", dense_ops=("FC", "DP", "Flat"))

#: The fewer widths of the rank-correlation study (supplement 7.3).
STUDY_DIMS: dict[str, Any] = {
    "dense_dims": (32, 64, 128, 256, 512),
    "sparse_dims": (16, 32, 64),
}
NASREC_FULL_STUDY = NASREC_FULL.with_(name="full-study", **STUDY_DIMS)
NASREC_SMALL_STUDY = NASREC_SMALL.with_(name="small-study", **STUDY_DIMS)

#: Spaces that `load_space` knows by name.
SPACES: dict[str, SearchSpace] = {
    space.name: space
    for space in (NASREC_FULL, NASREC_SMALL, NASREC_PLUS, NASREC_FULL_STUDY, NASREC_SMALL_STUDY)
}


def load_space(name_or_path: str | Path) -> SearchSpace:
    """A space by name (`full`, `small`, …) or from a YAML file."""
    if str(name_or_path) in SPACES:
        return SPACES[str(name_or_path)]
    path = Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpaceError(
            f"no search space {str(name_or_path)!r}",
            mend=f"give the path of a YAML file that exists, or one of {', '.join(SPACES)}",
        ) from None
    except UnicodeDecodeError:
        raise SpaceError("not a text file in UTF-8", where=str(path)) from None
    except OSError as error:
        raise SpaceError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return SearchSpace.from_yaml(text, where=str(path))
