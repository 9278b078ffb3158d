"""Imports go one way through the rooms; see docs/architecture.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "nasrec"

# Each room may import itself and the rooms named here.
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "space": {"errors", "files"},
    "data": {"errors", "files", "native"},
    "report": {"errors", "files", "space"},
    "native": {"errors", "files"},
    "nn": {"errors", "files", "space", "native"},
    "train": {"errors", "files", "space", "nn", "data", "native"},
    "search": {"errors", "files", "space", "nn", "data", "train"},
    "serve": {"errors", "files", "space", "nn", "data", "train"},
    "config": {"errors", "files", "space", "nn", "data", "train", "search"},
    "pipeline": {
        "errors", "files", "space", "nn", "data", "train", "search", "serve", "config", "report",
    },
    "study": {
        "errors", "files", "space", "nn", "data", "train", "search", "serve", "config", "report",
        "pipeline",
    },
    "estimator": {"errors", "data", "serve", "config", "pipeline"},
}  # fmt: skip
ENTRANCES = {"__init__", "__main__", "cli", "demo"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "nasrec":
                found.add(parts[1] if len(parts) > 1 else "__init__")
    return found


MODULES = sorted(SOURCE.rglob("*.py"))


def test_every_room_is_known():
    assert {room_of(p) for p in MODULES} - ENTRANCES <= set(ALLOWED)


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room_of(p) not in ENTRANCES], ids=lambda p: str(p.name)
)
def test_imports_go_one_way(path):
    room = room_of(path)
    wrong = imported_rooms(path) - ALLOWED[room] - {room, "__version__"}
    assert not wrong, f"{path.relative_to(SOURCE)} imports {sorted(wrong)}"


def test_the_check_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from nasrec.pipeline import x\n    import nasrec.cli\n")
    assert imported_rooms(bad) == {"pipeline", "cli"}


def test_nothing_imports_the_command_line():
    importers = [p for p in MODULES if "cli" in imported_rooms(p)]
    assert {room_of(p) for p in importers} <= {"__main__", "cli"}


@pytest.mark.parametrize("room", ["nn", "train", "search"])
def test_no_data_sets_name_in_model_rooms(room):
    names = ("criteo", "avazu", "kdd", "frappe")
    for path in (SOURCE / room).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        docs |= {  # KDD is a conference too
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "paper"
        }
        for node in ast.walk(tree):
            text = node.id if isinstance(node, ast.Name) else getattr(node, "value", None)
            if isinstance(text, str) and id(node) not in docs:
                assert not any(n in text.lower() for n in names), f"{path.name}: {text}"
