"""`infinipot-v eval`, `compare` and `demo` with the embedded model, on streams of a few seconds."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

SHORT = ("--seeds", "3:5", "--steps", "10")


def width(picture: Path) -> int:
    with Image.open(picture) as image:
        return image.size[0]


def test_eval_writes_rows_a_table_and_a_picture_and_goes_on_where_it_stopped(run):
    some = ("eval", "pocket", *SHORT, "--policies", "full,uniform", "--budgets", "1/2", "--json")
    code, out, _ = run(*some)
    assert code == 0
    rows = {(row["policy"], row["kind"], row["delay"]): row for row in json.loads(out)["rows"]}
    everything = rows["full", "all", "all"]
    assert everything["n"] > 10
    assert everything["correct"] == round(everything["accuracy"] * everything["n"])
    assert everything["low"] <= everything["accuracy"] <= everything["high"]
    assert rows["uniform", "all", "all"]["held_tokens"] <= 80 < everything["held_tokens"] == 160
    settings = json.loads(out)["settings"]
    assert settings["seeds"] == [3, 5] and settings["splits"] == ["dev"] and len(settings["world"]) == 12
    lines = Path("eval-results/pocket.jsonl").read_text().splitlines()
    code, out, _ = run(*some[:-1], "--policies", "full,uniform,random")
    assert code == 0 and out.startswith("policy ") and max(map(len, out.splitlines())) < 80
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("random")] == [["random", "1/2", "80"]]
    wide = Path("eval-results/pocket.md").read_text()
    assert wide.startswith("| policy |") and "| random | 1/2 |" in wide
    assert Path("eval-results/pocket.jsonl").read_text().splitlines()[: len(lines)] == lines
    assert width(Path("eval-results/pocket.png")) > 1000
    code, out, _ = run("compare", "full", "random@1/2", "--json")
    difference = json.loads(out)
    assert code == 0 and difference["low"] <= difference["difference"] <= difference["high"] and difference["n"] > 0
    code, _, err = run("compare", "full", "random@1/4")
    assert code == 2 and "random@1/2" in err
    code, _, err = run("eval", "pocket", "--seeds", "3:6", "--steps", "10")
    assert code == 2 and "other settings" in err


def test_demo_shows_a_stream_and_saves_a_picture(run):
    code, out, err = run("demo", "--seeds", "3:4", "--steps", "10", "--policies", "infinipot-v,full")
    assert code == 0, err
    assert "of 160 tokens" in out or "160 tokens" in out
    assert "truth: " in out and "infinipot-v-demo.png" in out
    assert width(Path("infinipot-v-demo.png")) > 1000
    code, out, _ = run("demo", "--seeds", "3:4", "--steps", "10", "--policies", "last-frames", "--json")
    result = json.loads(out)
    assert code == 0 and {row["policy"] for row in result["rows"]} == {"last-frames"}
    assert result["settings"]["steps"] == 10


def test_the_experiments_take_no_orders(run):
    code, _, err = run("eval", "pocket", "--quick")
    assert code == 2 and "--ablations" in err
    code, _, err = run("eval", "pocket", "--ablations", "--seeds", "0:2", "--budgets", "1/2")
    assert code == 2 and "leave out --budgets, --seeds" in err


def test_the_quick_experiments(run):
    """All of the paper's experiments in small, four minutes of one core: the command that makes the whole table."""
    code, _, err = run("eval", "pocket", "--ablations", "--quick", "--out", "quick")
    assert code == 0, err
    assert "VaN, reversed" in Path("quick/ablations.md").read_text()
    assert {path.name for path in Path("quick").iterdir()} >= {"ablations.json", "ablations.jsonl", "ablations.md"}
