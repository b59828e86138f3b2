"""docs/benchmarks.md: its table of recipes is the recipes' own."""

from __future__ import annotations

from pathlib import Path

from infinipot_v.evaluate.field import benchmark_names
from infinipot_v.evaluate.field.recipes import recipes

TEXT = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def table() -> str:
    """A line a value, with its source."""
    lines = ["| recipe | value | source |", "|---|---|---|"]
    for name, recipe in recipes().items():
        first = f"`{name}`"
        for key, source in recipe.sources.items():
            value = getattr(recipe, key)
            told = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else f"{value}"
            told = told if len(told) < 60 else f"{told[:56].rstrip()} ..."
            lines.append(f"| {first} | {key}: {told} | {source} |")
            first = ""
    return "\n".join(lines)


def test_the_table_of_recipes_is_theirs():
    stands = TEXT.partition("prints this table -->")[2].partition("<!-- end")[0].strip()
    assert stands == table(), f"put this there:\n{table()}"


def test_every_benchmark_is_in_the_table():
    for name in benchmark_names():
        assert f"`{name}`" in TEXT
