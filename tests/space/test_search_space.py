"""Spaces as data: what is accepted, refusals with field, value and mend, and YAML files."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec.errors import SpaceError
from nasrec.space import (
    NASREC_FULL,
    NASREC_FULL_STUDY,
    NASREC_SMALL,
    NASREC_SMALL_STUDY,
    PUBLISHED,
    SPACES,
    SearchSpace,
    load_space,
    published,
)
from nasrec.space.operators import OperatorInfo, declare
from nasrec.space.sets import COUNT_RULES

YAML = """
name: mine
dense_ops: [FC]
sparse_ops: [EFC]
dense_dims: [16]
sparse_dims: [8]
"""


def test_named_spaces() -> None:
    assert load_space("full") is NASREC_FULL
    assert load_space("small") is NASREC_SMALL
    assert NASREC_FULL.blocks == 7
    assert NASREC_FULL.dense_dims == (16, 32, 64, 128, 256, 512, 768, 1024)
    assert NASREC_SMALL.dense_ops == ("FC", "DP")
    assert NASREC_SMALL.sparse_ops == ("EFC",)
    assert NASREC_SMALL.dense_dims == NASREC_FULL.dense_dims
    for study in (NASREC_FULL_STUDY, NASREC_SMALL_STUDY):
        assert load_space(study.name) is study
        assert study.dense_dims == (32, 64, 128, 256, 512)
        assert study.sparse_dims == (16, 32, 64)


def test_frozen_and_hashable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NASREC_FULL.blocks = 3  # type: ignore[misc]
    assert hash(NASREC_FULL) == hash(NASREC_FULL.with_())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": ""}, "name must be a non-empty text, not ''"),
        ({"name": 3}, "name must be a non-empty text, not 3"),
        ({"blocks": 0}, "blocks is 0.*positive integer"),
        ({"blocks": "7"}, "blocks is '7'"),
        ({"blocks": True}, "blocks is True"),
        ({"dense_ops": []}, "dense_ops is empty.*at least one"),
        ({"dense_ops": "FC"}, "dense_ops is 'FC'.*give a list"),
        ({"dense_ops": None}, "dense_ops is None"),
        ({"dense_ops": ["FC", "FC"]}, "dense_ops holds 'FC' more than once"),
        ({"dense_ops": [False]}, "dense_ops holds False.*by name"),
        ({"dense_ops": ["MLP"]}, "dense_ops holds the unknown operator 'MLP'.*FC.*declare"),
        ({"dense_ops": ["EFC"]}, "dense_ops holds 'EFC'.*move it to sparse_ops"),
        ({"sparse_ops": ["DP"]}, "sparse_ops holds 'DP'.*move it to dense_ops"),
        ({"dense_dims": []}, "dense_dims is empty"),
        ({"dense_dims": 16}, "dense_dims is 16.*give a list"),
        ({"dense_dims": [16, -3]}, "dense_dims holds -3.*positive integer"),
        ({"dense_dims": [16, 16]}, "dense_dims holds 16 more than once"),
        ({"sparse_dims": [0]}, "sparse_dims holds 0"),
        ({"sparse_dims": [1.5]}, "sparse_dims holds 1.5"),
        ({"sparse_dims": [[1]]}, r"sparse_dims holds \[1\]"),
        ({"max_ops_per_branch": 0}, "max_ops_per_branch is 0.*null"),
        ({"max_connections": -1}, "max_connections is -1.*null"),
        ({"connection_count": "all"}, "connection_count is 'all'.*subsets, binomial, uniform"),
        ({"connection_count": []}, r"connection_count is \[\]"),
        ({"width": 3}, "unknown field 'width'.*use name, dense_ops"),
        ({7: 3}, "unknown field 7"),
    ],
)
def test_bad_fields(change, told) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_dict(NASREC_FULL.to_dict() | change, where="my.yaml")
    assert re.search(f"^my.yaml: {told}", str(caught.value), re.DOTALL), caught.value


def test_bad_fields_from_python() -> None:
    with pytest.raises(SpaceError, match="space 'full': dense_dims holds -1"):
        NASREC_FULL.with_(dense_dims=(-1,))
    with pytest.raises(SpaceError, match="space 'full': width is not a field"):
        NASREC_FULL.with_(width=3)


def test_users_own_operator_once_declared() -> None:
    with pytest.raises(SpaceError, match="unknown operator 'SpaceTestCross'"):
        NASREC_FULL.with_(dense_ops=("FC", "SpaceTestCross"))
    declare(OperatorInfo("SpaceTestCross", "dense", frozenset({"dense", "pair"})))
    space = NASREC_FULL.with_(blocks=2, dense_ops=("SpaceTestCross",))
    per_block = [2 * 8 * 4 * 4 * (2**n - 1) ** 2 * n * n for n in (1, 2)]
    assert space.cardinality() == per_block[0] * per_block[1]


# -- belonging --------------------------------------------------------------------------------


def test_published_architectures_belong_to_their_spaces() -> None:
    for name in PUBLISHED:
        assert published(name) in load_space(name.split("-")[1])
        assert published(name) in NASREC_FULL.with_(max_connections=4)
    assert published("criteo-full") not in NASREC_SMALL
    assert "criteo-full" not in NASREC_FULL


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"blocks": 6}, "the architecture has 7 blocks.*space 'full' has 6"),
        ({"dense_ops": ("FC",)}, "block 1: dense_ops has 'DP'.*space 'full' allows FC"),
        ({"sparse_ops": ("EFC",)}, "block [1-7]: sparse_ops has 'Attn'.*allows EFC"),
        ({"dense_dims": (16, 17)}, r"block 1: dense_dim has \d+.*allows 16, 17"),
        ({"sparse_dims": (9,)}, r"block 1: sparse_dim has \d+.*allows 9"),
        ({"max_connections": 1}, r"block \d: .*_inputs has \d entries, \[.*allows at most 1"),
    ],
)
def test_not_of_the_space(change, told) -> None:
    with pytest.raises(SpaceError, match=f"(?s){told}"):
        NASREC_FULL.with_(**change).validate(published("avazu-full"))


def test_too_many_operators() -> None:
    with pytest.raises(SpaceError, match=r"(?s)block 1: dense_ops has 4 entries.*at most 1"):
        NASREC_FULL.validate(NASREC_FULL.maximal())
    assert NASREC_FULL.maximal() in NASREC_FULL.with_(max_ops_per_branch=None)


# -- YAML -------------------------------------------------------------------------------------


@given(
    st.builds(
        SearchSpace,
        name=st.sampled_from(["no", "1", "a: b", "é", "null"]) | st.text(min_size=1),
        dense_ops=st.lists(st.sampled_from(NASREC_FULL.dense_ops), min_size=1, unique=True),
        sparse_ops=st.lists(st.sampled_from(NASREC_FULL.sparse_ops), min_size=1, unique=True),
        dense_dims=st.lists(st.integers(1, 2048), min_size=1, unique=True),
        sparse_dims=st.lists(st.integers(1, 128), min_size=1, unique=True),
        blocks=st.integers(1, 12),
        max_ops_per_branch=st.none() | st.integers(1, 4),
        max_connections=st.none() | st.integers(1, 9),
        connection_count=st.sampled_from(COUNT_RULES),
    )
)
def test_yaml_round_trip(space: SearchSpace) -> None:
    assert SearchSpace.from_yaml(space.to_yaml()) == space


def test_yaml_files(tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(NASREC_SMALL.to_yaml(), encoding="utf-8")
    assert load_space(file) == load_space(str(file)) == NASREC_SMALL
    file.write_text(YAML)
    assert load_space(file) == SearchSpace("mine", ("FC",), ("EFC",), (16,), (8,))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (YAML + "width: 3\n", "FILE: unknown field 'width'"),
        (YAML.replace("name: mine\n", ""), "FILE: field 'name' is missing"),
        (YAML.replace("[16]", "[16"), "FILE, line 6: not valid YAML"),
        (YAML.replace("[16]", "[x]"), "FILE: dense_dims holds 'x'"),
        (YAML.replace("[FC]", ""), "FILE: dense_ops is None.*give a list"),
        (YAML.replace("[FC]", "[no]"), "FILE: dense_ops holds False"),
        (YAML.replace("[FC]", "!!python/object:os.system [x]"), "FILE, line 3: not valid YAML"),
        ("", "FILE: a space must be a mapping of fields, not None"),
        ("[" * 100_000, "FILE: nested too deeply"),
        ("- 1", r"FILE: a space must be a mapping of fields, not \[1\]"),
        ("a\0b", "FILE.*not valid YAML"),
        (b"\xff\xfe\xff", "FILE: not a text file in UTF-8"),
    ],
)
def test_bad_yaml(tmp_path, text, told) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    told = told.replace("FILE", re.escape(str(file)))
    assert re.search(f"^{told}", str(caught.value), re.DOTALL), caught.value


def test_no_such_space(tmp_path) -> None:
    with pytest.raises(SpaceError, match=r"(?s)no search space 'ful'.*one of full, small"):
        load_space("ful")
    with pytest.raises(SpaceError, match="cannot be read"):
        load_space(tmp_path)
    assert set(SPACES) == {"full", "small", "plus", "full-study", "small-study"}


def test_the_room_needs_no_torch() -> None:
    program = (
        "import sys; import nasrec.space\n"
        "sys.exit(', '.join({m.split('.')[0] for m in sys.modules} & {'torch', 'polars'}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
