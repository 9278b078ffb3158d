"""What is in a prepared folder, for people and as JSON types."""

from __future__ import annotations

from typing import Any

from nasrec.data.dataset import PreparedData
from nasrec.data.work import size


def info(data: PreparedData) -> dict[str, Any]:
    """All that the manifest and the schema say, as JSON types."""
    manifest = data.manifest
    columns = []
    ids = iter(zip(data.vocabulary_sizes, data.slots, strict=True))
    for column in data.schema.columns:
        entry: dict[str, Any] = {"name": column.name, "role": column.role}
        if column.role == "dense":
            entry["transform"] = column.transform
        if column.role == "categorical":
            entry["ids"], entry["slots"] = next(ids)
            entry["from"] = "vocabulary" if column.hash_size is None else "hash"
        columns.append(entry)
    logs = {source["as"] for source in manifest["sources"]}
    return {
        "path": str(data.path),
        "version": manifest["version"],
        "fingerprint": data.fingerprint,
        "bytes": sum(entry["bytes"] for entry in manifest["files"].values()),
        "bytes_a_row": data.layout.dtype.itemsize,
        "files": len(manifest["files"]),
        "splits": {
            part.name: {"rows": len(part), "click_rate": part.click_rate}
            for part in (data.train, data.valid, data.test)
        },
        "split": {"kind": "files"} if {"valid", "test"} <= logs else manifest["split"],
        "sources": manifest["sources"],
        "columns": columns,
        "bad_rows": manifest["bad_rows"],
        "warnings": list(data.warnings),
    }


def info_text(found: dict[str, Any]) -> str:
    """The same in words."""
    split = {**found["split"]}
    kind = split.pop("kind")
    lines = [
        f"{found['path']}: prepared data, format version {found['version']}",
        f"fingerprint  {found['fingerprint']}",
        f"size         {size(found['bytes'])} in {found['files']} files, "
        f"{found['bytes_a_row']} bytes a row",
    ]
    for name, part in found["splits"].items():
        lines.append(f"{name:<12} {part['rows']:,} rows, click rate {part['click_rate']:.4f}")
    options = ", ".join(f"{key} {value}" for key, value in split.items())
    lines.append(f"split        {kind}" + (f" ({options})" if options else ""))
    for source in found["sources"]:
        names = [file["name"] for file in source["files"]]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"{source['as']:<12} {source['rows']:,} rows of {', '.join(names[:3])}{more}")
    lines.append("columns")
    width = max(len(column["name"]) for column in found["columns"])
    for column in found["columns"]:
        told = column["role"]
        if told == "dense":
            told += f", {column['transform']}"
        if told == "categorical":
            told += f", {column['ids']:,} ids by {column['from']}"
            told += f", {column['slots']} slots" if column["slots"] > 1 else ""
        lines.append(f"  {column['name']:<{width}}  {told}")
    if found["bad_rows"]["count"]:
        lines.append(f"bad rows     {found['bad_rows']['count']:,} left out, the first of them:")
        lines += [f"  {line}" for line in found["bad_rows"]["first"]]
    lines += [f"Warning: {warning}" for warning in found["warnings"]]
    return "\n".join(lines)
