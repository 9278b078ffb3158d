"""Architectures as data: what is accepted, what is refused, and files."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given

from nasrec.errors import SpaceError
from nasrec.space import Architecture, Block
from nasrec.space.operators import OperatorInfo, declare, operator_info
from tests.space.helpers import architectures

BLOCK = {
    "dense_ops": ["FC"],
    "sparse_ops": ["EFC"],
    "dense_dim": 16,
    "sparse_dim": 16,
    "dense_inputs": [0],
    "sparse_inputs": [0],
}


@given(architectures())
def test_round_trip(architecture: Architecture) -> None:
    again = Architecture.from_json(architecture.to_json())
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.to_json() == architecture.to_json()
    assert Architecture.from_dict(architecture.to_dict()["blocks"]) == architecture


@given(architectures())
def test_order_and_repetition_in_a_spelling_do_not_matter(architecture: Architecture) -> None:
    data = architecture.to_dict()
    for block in data["blocks"]:
        for field in ("dense_ops", "sparse_ops", "dense_inputs", "sparse_inputs"):
            block[field] = [*reversed(block[field]), block[field][0]]
    assert Architecture.from_dict(data) == architecture


def test_json_is_canonical() -> None:
    text = Architecture.from_dict([BLOCK]).to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_frozen() -> None:
    block = Block(**BLOCK)
    with pytest.raises(dataclasses.FrozenInstanceError):
        block.dense_dim = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dense_ops": []}, "block 1: dense_ops is empty"),
        ({"dense_ops": "FC"}, "block 1: dense_ops must be a list, not 'FC'"),
        ({"dense_ops": {"FC": 1}}, "block 1: dense_ops must be a list"),
        ({"dense_ops": [7]}, "block 1: dense_ops holds 7, which is not an operator's name"),
        ({"dense_ops": ["MLP"]}, "block 1: unknown operator 'MLP'.*use one of .*FC"),
        ({"dense_ops": ["EFC"]}, "block 1: 'EFC' is not an operator of the dense branch"),
        ({"sparse_ops": ["DP"]}, "block 1: 'DP' is not an operator of the sparse branch"),
        ({"dense_inputs": [True]}, "block 1: dense_inputs holds True"),
        ({"dense_inputs": [[0]]}, r"block 1: dense_inputs holds \[0\]"),
        ({"sparse_inputs": [-1]}, "block 1: sparse_inputs holds -1.* the number of a source"),
        ({"sparse_inputs": None}, "block 1: sparse_inputs must be a list, not None"),
        ({"sparse_inputs": [0, 1]}, "block 1: sparse_inputs names source 1.*read sources 0 to 0"),
        ({"left": 1}, "block 1: left names source 1"),
        ({"right": -1}, "block 1: right must name a source, not -1"),
        ({"left": True}, "block 1: left must name a source, not True"),
        ({"dense_dim": 0}, "block 1: dense_dim must be a positive integer, not 0"),
        ({"sparse_dim": "16"}, "block 1: sparse_dim must be a positive integer, not '16'"),
        ({"dense_dim": True}, "block 1: dense_dim must be a positive integer, not True"),
        ({"dense_dim": 1.5}, "block 1: dense_dim must be a positive integer, not 1.5"),
        ({"dense_to_sparse": 1}, "block 1: dense_to_sparse must be true or false, not 1"),
        ({"sparse_to_dense": None}, "block 1: sparse_to_dense must be true or false, not None"),
        ({"width": 3}, "block 1: unknown key 'width'"),
        ({3: 3, "width": 3}, "block 1: unknown key 3"),
    ],
)
def test_bad_blocks(change: dict, told: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Architecture.from_dict([BLOCK | change])
    assert re.search(told, str(caught.value), re.DOTALL), caught.value


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "at least one block"),
        ("FC", "'blocks' must be a list"),
        (None, "'blocks' must be a list"),
        ({}, "the one key 'blocks', found []"),
        ({"blocks": [], "name": 1}, "found ['blocks', 'name']"),
        ([BLOCK, 3], "block 2: a block must be a mapping"),
        ([{k: v for k, v in BLOCK.items() if k != "sparse_dim"}], "block 1: key 'sparse_dim'"),
    ],
)
def test_bad_architectures(data: object, told: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Architecture.from_dict(data)
    assert told in str(caught.value)


def test_bad_json_and_bad_python() -> None:
    with pytest.raises(SpaceError, match="not valid JSON"):
        Architecture.from_json("[{")
    with pytest.raises(SpaceError, match="block 1 is 3, not a Block"):
        Architecture((3,))  # type: ignore[arg-type]


def test_declaring_operators() -> None:
    info = operator_info("Sum")
    assert declare(dataclasses.replace(info)) == info
    with pytest.raises(SpaceError, match="'Sum' is already declared"):
        declare(dataclasses.replace(info, symmetric=False))
    with pytest.raises(SpaceError, match="'X' reads nothing"):
        OperatorInfo("X", "dense", frozenset())
    with pytest.raises(SpaceError, match="'X' may read the sparse input only"):
        OperatorInfo("X", "sparse", frozenset({"dense"}))
