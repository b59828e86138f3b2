"""Pictures: every benchmark has panels, and a result without figures has none."""

from __future__ import annotations

import sys

import pytest

from infinipot_v import UserError
from infinipot_v.bench import figures
from infinipot_v.bench.notebook import Notebook
from infinipot_v.bench.rows import Result

pytest.importorskip("matplotlib")


def filled() -> Result:
    result = Result({"shapes": {"s": {"layers": 2}}, "sizes": {"block": 1}})
    weighed = Notebook(result, "s/memory")
    for name, base in (("ours-60", 3e6), ("chunked", 5e6)):
        weighed.row(f"{name}/before", [1e6], "B")
        for seen in (240, 480):
            weighed.row(f"{name}/{seen}/peak", [base * seen / 240], "B")
    weighed.missing("one-shot-all-logits/480/peak", "B", "out of memory")
    watched = Notebook(result, "s/stream")
    watched.row("all", [3.0, 4.0], "ms")
    watched.series("prefill", [1.0, 2.0])
    watched.series("compaction", [0.0, 2.0])
    Notebook(result, "s/flat").row("step-60", [3.0, 4.0], "ms")
    Notebook(result, "s/flat").row("step-6", [3.0, 3.0], "ms")
    for name in ("broadcast", "ours", "floor"):
        Notebook(result, "1x2x3/float32, keep 0.5, recent 0.25").row(name, [2.0, 3.0], "ms")
    answers = Notebook(result, "s/answer")
    answers.row("ours-60/first-token", [2.0, 3.0], "ms")
    answers.row("ours-60/tokens-per-second", [2.0, 3.0], "tokens/s")
    answers.missing("full/first-token", "ms", "out of memory")
    return result


def test_a_panel_for_everything_that_has_one(tmp_path):
    result = filled()
    parts = figures._parts(result)
    assert [len(figures._painters(part, rows)) for part, rows in parts.items()] == [1, 1, 1, 1, 2]
    figures.draw(result, tmp_path / "a.png", "title")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_peaks_are_read_without_what_was_there_before():
    rows = figures._parts(filled())["s/memory"]
    assert figures._peaks(rows, "chunked") == ([(240, 4e6 / 2**20), (480, 9e6 / 2**20)], [])
    assert figures._peaks(rows, "one-shot-all-logits") == ([], [480])


def test_one_length_is_a_bar_a_contender(tmp_path):
    from matplotlib import pyplot

    result = filled()
    result.rows = [row for row in result.rows if not row.name.endswith("/240/peak")]
    axes = pyplot.figure().subplots()
    figures._memory(axes, "s/memory", figures._parts(result)["s/memory"], result)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "one shot, all logits (Hugging Face)", "full cache in chunks (Hugging Face)", "ours, |M| = 60",
    ]  # fmt: skip
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.0, 9e6 / 2**20, 5e6 / 2**20])
    assert "out of memory" in [text.get_text().strip() for text in axes.texts]
    pyplot.close("all")


def test_nothing_to_see(tmp_path):
    result = Result({"shapes": {}})
    Notebook(result, "s/exactness").row("ours/max-abs", [1.0], "logits")
    Notebook(result, "s/memory").missing("full/60/peak", "B", "out of memory")
    figures.draw(result, tmp_path / "a.png", "title")
    assert not (tmp_path / "a.png").exists()


def test_without_matplotlib_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pip install matplotlib"):
        figures.draw(filled(), tmp_path / "a.png", "title")
