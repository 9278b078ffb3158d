"""How published results on Criteo, Avazu and KDD Cup 2012 were made, as schemas and splits.

`paper`: what the released code of NASRec (Zhang et al., WWW 2023) does. All fields, embedding
tables of a given size, ten stratified folds of seed 2018 with eight to train on. Criteo's values
are hexadecimal numbers, taken modulo the table's size. Avazu's and KDD's small tables have just as
many rows as there are values in all of the data; there a value gets an id of its own from train,
and only in the large tables ids are taken modulo the size.

`leaderboard`: as AutoCTR (Song et al., KDD 2020) and BARS (Zhu et al., SIGIR 2022) do. A vocabulary
from train alone, with rare and unseen values as one id, the same folds, and no field that is
another in each row or that is known only after the click.
"""

from __future__ import annotations

from dataclasses import dataclass

from nasrec.data.formats import avazu, criteo, kdd
from nasrec.data.schema import Column, HashAs, Schema
from nasrec.data.split import FoldSplit, SplitSpec
from nasrec.errors import ConfigError

COUNTED = 1 << 16
"""Table size up to which values get ids of their own, where the table has room for all."""

CRITEO_SIZES = (
    *(1461, 584, 10131227, 2202609, 306, 25, 12518, 634, 4, 93146, 5684, 8351593, 3195),
    *(28, 14993, 5461307, 11, 5653, 2174, 5, 7046548, 19, 16, 286182, 106, 142573),
)
AVAZU_SIZES = {
    **{"id": 10000, "hour": 241, "C1": 8, "banner_pos": 8, "site_id": 4738, "site_domain": 7746},
    **{"site_category": 27, "app_id": 8553, "app_domain": 560, "app_category": 37},
    **{"device_id": 2686409, "device_ip": 6729487, "device_model": 8252, "device_type": 6},
    **{"device_conn_type": 5, "C14": 2627, "C15": 9, "C16": 10, "C17": 436, "C18": 5, "C19": 69},
    **{"C20": 173, "C21": 61},
}
KDD_SIZES = {
    **{"display_url": 26274, "ad_id": 641708, "advertiser_id": 14848, "query_id": 22122011},
    **{"keyword_id": 1188090, "title_id": 3735797, "description_id": 2934102},
    **{"user_id": 20004011, "gender": 4, "age": 8},
}


@dataclass(frozen=True)
class Protocol:
    """One way to prepare one benchmark.

    Args:
        schema: its columns; `schema.format` says how the files are read.
        split: which rows are train, valid and test.
    """

    schema: Schema
    split: SplitSpec


def _table(name: str, size: int, hash_as: HashAs) -> Column:
    """A column with a table of `size` rows, the one for unknown values included."""
    if size <= COUNTED and name != "id":
        reason = "room for every value (paper)"
        return Column(name=name, role="categorical", min_count=1, cap=size - 1, reason=reason)
    reason = "the published table size (paper)"
    return Column(name=name, role="categorical", hash_size=size, hash_as=hash_as, reason=reason)


def _criteo_paper() -> Schema:
    categorical = [
        Column(
            name=column.name,
            role="categorical",
            hash_size=size,
            hash_as="hex",
            reason="the published table size (paper)",
        )
        for column, size in zip(criteo.CATEGORICAL, CRITEO_SIZES, strict=True)
    ]
    return Schema(columns=(criteo.LABEL, *criteo.DENSE, *categorical), format="criteo")


def _avazu_paper() -> Schema:
    # The ids have more digits than fit 64 bits with a sign, and are hashed as text.
    columns = [
        _table(name, size, "text" if name == "id" else "hex") for name, size in AVAZU_SIZES.items()
    ]
    label = Column(name="click", role="label", reason="0 or 1 (Avazu)")
    return Schema(columns=(label, *columns), format="avazu")


def _kdd_paper() -> Schema:
    kept = [column for column in kdd.SCHEMA.columns if column.role != "categorical"]
    columns = [_table(name, size, "decimal") for name, size in KDD_SIZES.items()]
    return Schema(columns=(*kept, *columns), format="kdd")


def _kdd_leaderboard() -> Schema:
    return kdd.SCHEMA.revised(ignore=["impression"], min_count=10)


PROTOCOLS: dict[str, Protocol] = {
    "criteo-paper": Protocol(_criteo_paper(), FoldSplit()),
    "criteo-leaderboard": Protocol(criteo.SCHEMA.revised(min_count=10), FoldSplit()),
    "avazu-paper": Protocol(_avazu_paper(), FoldSplit()),
    "avazu-leaderboard": Protocol(avazu.SCHEMA.revised(min_count=5), FoldSplit()),
    "kdd-paper": Protocol(_kdd_paper(), FoldSplit()),
    "kdd-leaderboard": Protocol(_kdd_leaderboard(), FoldSplit()),
}
"""Every protocol by the benchmark's name and the protocol's."""


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in PROTOCOLS:
        raise ConfigError(
            f"there is no protocol {name!r}", mend=f"choose from: {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]
