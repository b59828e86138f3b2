"""The 1-D twin of the pocket model: the same network with its positions on one line, as LLaVA's or InternVL's are.

Trained with ``python -m training.run --line --init src/infinipot_v/pocket/checkpoint``, it answers what compact
positions and TaR's keys are worth on 1-D RoPE: ``python -m training.line --checkpoint FOLDER --out FOLDER``.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from infinipot_v.models.base import Model
from infinipot_v.models.qwen2_vl import Qwen2VL
from infinipot_v.positions import Clock, LineClock, Rotary
from infinipot_v.types import Grid


class FlatQwen2VL(Qwen2VL):
    """A position a token, the same on all three axes."""

    default_positions: ClassVar[str] = "compact"

    def clock(self, prefix: int, grid: Grid, text: str = "max") -> Clock:
        """See `Model.clock`."""
        return LineClock(prefix, self.position_limit)

    def rotary(self) -> Rotary:
        """All frequencies turn with the one axis."""
        embed = self.hf.get_decoder().rotary_emb

        def angles(positions: Tensor) -> tuple[Tensor, Tensor]:
            turned = positions[:, None].float() * embed.inv_freq.to(positions.device)
            return turned.cos(), turned.sin()

        return Rotary(embed.inv_freq.numel(), embed.inv_freq.numel(), angles)


def flattened(model: Model) -> FlatQwen2VL:
    """The same checkpoint with 1-D positions."""
    return FlatQwen2VL(model.hf, model.prompt, model.recipe, model.name)


def main() -> None:
    """Run the pocket benchmark on a twin."""
    import argparse

    from infinipot_v.evaluate.contenders import contenders
    from infinipot_v.evaluate.pocket import PocketBenchmark
    from infinipot_v.evaluate.records import RecordLog
    from infinipot_v.evaluate.rows import markdown, rows_of
    from infinipot_v.evaluate.runner import run
    from infinipot_v.models.load import load_model

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--policies", default="full,infinipot-v,infinipot-v+positions=original,uniform")
    parser.add_argument("--budgets", default="1/16")
    parser.add_argument("--seeds", default="0:24")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    first, last = map(int, chosen.seeds.split(":"))
    benchmark = PocketBenchmark(range(first, last), chosen.steps)
    taking_part = contenders(chosen.policies.split(","), [Fraction(text) for text in chosen.budgets.split(",")])
    torch.set_num_threads(1)
    log = RecordLog(chosen.out / f"line-{chosen.steps}.jsonl", {**benchmark.settings, "model": "pocket twin, 1-D RoPE"})
    run(benchmark, flattened(load_model(str(chosen.checkpoint), device="cpu")), taking_part, log)
    print(markdown(rows_of(log.records())))


if __name__ == "__main__":
    main()
