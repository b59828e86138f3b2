"""The house keeps its order: who may import whom, what is public, and that importing costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import infinipot_v

SOURCE = Path(infinipot_v.__file__).parent
BASE = {"types", "interrupts"}
MAY_IMPORT = {
    "types": set(),
    "interrupts": set(),
    "nearest": set(),
    "naming": set(),
    "grain": set(),
    "budget": {"types"},
    "policies": {"types", "nearest", "grain", "policies"},
    "sources": BASE | {"sources"},
    "positions": {"types", "positions"},
    "peak": set(),
    "cache": BASE | {"budget", "grain", "naming", "policies", "positions", "cache"},
    "models": {"types", "naming", "nearest", "positions", "models"},
    "generate": {"types", "cache", "models"},
    "dialogue": {"types", "models"},
    "answering": {"types", "cache", "dialogue", "generate", "models", "positions"},
    "queries": BASE | {"cache", "models", "policies", "positions"},
    "reduction": {"types", "nearest", "policies", "positions", "reduction"},
    "ring": {"types", "positions"},
    "retrieval": BASE
    | {
        "answering",
        "cache",
        "dialogue",
        "fitting",
        "generate",
        "models",
        "nearest",
        "peak",
        "policies",
        "positions",
        "sources",
    }
    | {"retrieval"},
    "moment": {"types", "budget", "cache", "generate", "models", "policies", "positions", "reduction", "ring"},
    "fitting": {"types", "cache", "models"},
    "reporting": {"types", "cache", "models", "moment", "peak", "reduction"},
    "saving": {"types", "budget", "cache", "generate", "models", "moment", "policies", "positions", "reduction"}
    | {"ring", "saving", "sources"},
    "keeping": {"types", "budget", "models", "moment", "saving", "session"},
    "session": {"*"} - {"cli", "evaluate"},
    "pocket": {"types", "pocket"},
    "testing": {"types", "nearest", "testing"},
    "survey": {"types", "budget", "cache", "models", "policies", "survey"},
    "verify": {"types", "budget", "cache", "generate", "models", "naming", "policies", "session", "survey", "verify"},
}
"""Rooms and what they may know. `session` and those outside may know all below; nobody knows those outside."""


def imports_of(path: Path) -> set[str]:
    """Our own rooms that a file imports, wherever in the file."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        rooms |= {name.split(".")[1] for name in names if name.startswith("infinipot_v.")}
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_who_may_import_whom():
    wrong = []
    for path in SOURCE.rglob("*.py"):
        room, rooms = room_of(path), imports_of(path)
        allowed = MAY_IMPORT.get(room, {"*"})
        if "*" not in allowed and not rooms <= allowed:
            wrong.append((str(path.relative_to(SOURCE)), sorted(rooms - allowed)))
        if room not in ("cli", "evaluate", "lmms", "__main__") and rooms & {"cli", "evaluate", "bench"} - {room}:
            wrong.append((str(path.relative_to(SOURCE)), "imports the outside"))
    assert wrong == []


def test_only_the_cache_knows_transformers_cache_classes():
    """And whoever measures against them."""
    knowing = [path for path in SOURCE.rglob("*.py") if "transformers.cache_utils" in path.read_text()]
    assert {room_of(path) for path in knowing} - {"evaluate"} == {"cache", "retrieval"}


def test_the_public_names():
    assert set(infinipot_v.__all__) == set(dir(infinipot_v))
    assert all(getattr(infinipot_v, name) is not None for name in infinipot_v.__all__)
    assert set(infinipot_v._HOMES) | {"__version__"} == set(infinipot_v.__all__)


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, infinipot_v; sys.exit(bool({'torch', 'transformers', 'av', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_benchmarks_are_found_without_pyav():
    """Some of them are arrays and folders of pictures, which a machine without it can watch."""
    script = (
        "import sys; from infinipot_v.evaluate.field import benchmark_class, benchmark_names\n"
        "[benchmark_class(name) for name in benchmark_names()]; sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_files_and_functions_stay_small():
    for path in SOURCE.rglob("*.py"):
        assert path.read_text().count("\n") <= 400, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 70, f"{path}: {node.name}"
