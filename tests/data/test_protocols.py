"""The published protocols: fields, table sizes, splits."""

from __future__ import annotations

import pytest

from nasrec.data.protocols import PROTOCOLS, protocol
from nasrec.data.split import FoldSplit
from nasrec.errors import ConfigError


def sizes(name: str) -> list[int | None]:
    columns = PROTOCOLS[name].schema.categorical
    return [column.hash_size or (column.cap and column.cap + 1) for column in columns]


@pytest.mark.parametrize(
    ("name", "dense", "largest"),
    [
        ("criteo-paper", 13, (10131227, 8351593, 7046548)),
        ("avazu-paper", 0, (6729487, 2686409, 10000)),
        ("kdd-paper", 3, (22122011, 20004011, 3735797)),
    ],
)
def test_published_fields_and_tables(name, dense, largest):
    schema = protocol(name).schema
    found = sizes(name)
    assert len(schema.dense) == dense
    assert len(found) == {"criteo": 26, "avazu": 23, "kdd": 10}[name.split("-")[0]]
    assert tuple(sorted(found, reverse=True)[:3]) == largest
    if name == "criteo-paper":
        assert sum(found) == 33_762_601


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_whole(name, tmp_path):
    found = protocol(name)
    assert found.split == FoldSplit(folds=10, seed=2018)
    assert found.schema.format == name.split("-")[0]
    found.schema.save(tmp_path / "schema.yaml")
    assert type(found.schema).load(tmp_path / "schema.yaml") == found.schema


@pytest.mark.parametrize(
    ("name", "count", "dense", "sparse"),
    [
        ("criteo-leaderboard", 10, 13, 26),
        ("avazu-leaderboard", 5, 0, 23),
        ("kdd-leaderboard", 10, 2, 10),
    ],
)
def test_leaderboards_count_values_in_train(name, count, dense, sparse):
    schema = protocol(name).schema
    assert {column.min_count for column in schema.categorical} == {count}
    assert (len(schema.dense), len(schema.categorical)) == (dense, sparse)


def test_no_such_protocol():
    with pytest.raises(ConfigError, match=r"(?s)no protocol 'criteo'.*criteo-paper"):
        protocol("criteo")
