"""What an hour costs: the formula, the paper's figure, and the table of docs/retrieval.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infinipot_v.retrieval.cost import kept_bytes_an_hour, token_bytes
from infinipot_v.survey import catalogue

DOCS = Path(__file__).parents[2] / "docs" / "retrieval.md"
ROWS = {
    "LLaVA-OneVision-7B, 0.5 fps": ("llava_onevision", (28, 4, 128), 196, 0.5),
    "LLaVA-OneVision-7B, 1 fps": ("llava_onevision", (28, 4, 128), 196, 1.0),
    "Qwen2-VL-7B, 1 fps, two frames a step": ("qwen2_vl", (28, 4, 128), 128, 0.5),
    "Qwen2-VL-7B, 2 fps, two frames a step": ("qwen2_vl", (28, 4, 128), 128, 1.0),
}


def test_the_papers_figure_is_in_gibibytes():
    """arXiv 2503.00540 has 18.8 GB an hour for LLaVA-OneVision-7B at 0.5 fps, 196 tokens a frame, in 16 bit."""
    assert kept_bytes_an_hour(28 * 4 * 128 * 2 * 2, 196, 0.5) / 2**30 == pytest.approx(18.8, abs=0.05)


@pytest.mark.parametrize("name", ROWS)
def test_the_table_of_the_documentation(name):
    family, shape, step, rate = ROWS[name]
    one = token_bytes(*shape)
    assert {entry.family: entry.token_bytes for entry in catalogue.entries(lambda _: "")}[family] == one
    hour = kept_bytes_an_hour(one, step, rate)
    row = f"| {name} | {step} | {one:,} | {int(step * rate * 3600):,} | {hour / 1e9:.1f} | {hour / 2**30:.1f} |"
    assert row in DOCS.read_text(), row


def test_the_options_of_the_documentation_exist():
    from infinipot_v.evaluate.contenders import Contender

    named = re.findall(r"--policies (\S+)", DOCS.read_text())
    assert named and all(Contender(name).policy for names in named for name in names.split(","))
