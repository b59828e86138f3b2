"""Trains the pocket model, a session of 45 minutes at a time: ``python -m training.run``.

Resumes from --out (or --resume) where a record lies there, moves through the stages of
training.curriculum by their gates, saves every 90 seconds, and with --finish lets the learning rate
fall to nothing over the last part of the time. Knows nothing of caches or of compression.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infinipot_v.pocket.questions import QUESTION_KINDS
from training.curriculum import STAGES, stage_index
from training.feed import Batch, Feed
from training.pupil import Pupil
from training.state import load_log, load_tensors, moments, restore_moments, save_log, save_tensors

SAVE_EVERY = 90.0  # seconds
REPORT_EVERY = 25  # updates
WARM_UP = 150  # updates
VISION_SHARE = 1 / 3  # of the learning rate, once the language model learns


@dataclass
class Progress:
    """Running accuracies, in 0..1, per question kind and of the helper head."""

    kinds: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    def absorb(self, tallies: list[dict[str, Tensor]]) -> None:
        """Fold in what the last updates got right."""
        for name in ("see-kind", "see-colour"):
            now = float(torch.stack([t[name] for t in tallies]).mean())
            self.seen[name] = 0.5 * self.seen.get(name, now) + 0.5 * now
        answered = [t for t in tallies if "asked" in t]
        if not answered:
            return
        asked = torch.stack([t["asked"] for t in answered]).sum(0).tolist()
        right = torch.stack([t["right"] for t in answered]).sum(0).tolist()
        for kind, n, k in zip(QUESTION_KINDS, asked, right, strict=True):
            if n:
                self.kinds[kind] = 0.4 * self.kinds.get(kind, k / n) + 0.6 * k / n

    def passed(self, stage: int) -> bool:
        """Whether every gated accuracy of a stage has been reached."""
        plan = STAGES[stage]
        gated = [self.kinds.get(k, 0.0) for k in plan.kinds] or list(self.seen.values())
        return bool(gated) and min(gated) >= plan.gate

    def odds(self, stage: int) -> list[float]:
        """How often to ask each kind: the worse it goes, the oftener."""
        kinds = STAGES[stage].kinds
        return [0.02 + 1 - self.kinds.get(k, 0.0) if k in kinds else 0.0 for k in QUESTION_KINDS]


class School:
    """A training session."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.log = load_log(options.resume)
        self.stage = stage_index(options.stage) if options.stage else int(self.log["stage"])
        self.progress = Progress(**self.log.get("progress", {}))
        session = len(self.log["sessions"])
        self.feed = Feed(options.workers, options.seed * 100 + session, shrink=options.shrink)
        self.feed.start(self.stage, self.progress.odds(self.stage))
        torch.manual_seed(options.seed + session)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.pupil = Pupil(device, dtype, fuse=device.type == "cuda" and not options.plain, line=options.line)
        self.optimizer = self._optimizer()
        self._restore(options.resume)
        self.began = self.stage_began = self.saved = time.monotonic()
        self.born = int(self.log["updates"])
        self.waited = 0.0

    def _optimizer(self) -> torch.optim.Optimizer:
        vision = list(self.pupil.model.model.visual.parameters())
        known = {id(p) for p in vision}
        rest = [p for p in self.pupil.parameters() if id(p) not in known]
        groups = [{"params": vision, "vision": True}, {"params": rest, "vision": False}]
        fused = self.pupil.device.type == "cuda"
        return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=fused)

    def _restore(self, folder: Path) -> None:
        weights = load_tensors(folder, "weights")
        if not weights and self.options.init:
            self.pupil.begin_from(self.options.init)
        if weights:
            self.pupil.load_state_dict(weights)
            kept = load_tensors(folder, "moments")
            restore_moments(self.optimizer, kept, int(self.log["updates"]))

    def rate(self) -> float:
        """The learning rate now: warm-up, plateau and, with --finish, a cosine to zero."""
        since = self.log["updates"] - self.born
        rate: float = self.options.rate * min(1.0, (since + 1) / WARM_UP)
        if not self.options.finish:
            return rate
        left: float = 1 - (time.monotonic() - self.began) / self.options.seconds
        return 0.5 * rate * (1 - math.cos(math.pi * min(1.0, left / self.options.finish)))

    def run(self) -> None:
        """Train until the time is over."""
        tallies: list[dict[str, Tensor]] = []
        while time.monotonic() - self.began < self.options.seconds:
            before = time.monotonic()
            stage, batch = self.feed.take()
            self.waited += time.monotonic() - before
            if stage == self.stage:
                tallies.append(self._update(batch))
            if len(tallies) == REPORT_EVERY:
                self._report(tallies, batch)
                tallies.clear()
        self.save()
        self.feed.stop()
        print(f"saved; run again to go on, or: python -m training.finish --run {self.options.out}")

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        rate, alone = self.rate(), not STAGES[self.stage].kinds
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (VISION_SHARE if group["vision"] and not alone else 1)
        tensors = {k: torch.from_numpy(v).to(self.pupil.device, non_blocking=True) for k, v in batch.items()}
        loss, tally = self.pupil.learn(tensors)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.pupil.parameters(), 1.0)
        self.optimizer.step()
        self.log["updates"] += 1
        return tally

    def _report(self, tallies: list[dict[str, Tensor]], batch: Batch) -> None:
        self.progress.absorb(tallies)
        now = time.monotonic()
        record: dict[str, Any] = {
            "stage": STAGES[self.stage].name,
            "updates": self.log["updates"],
            "seconds": round(self.log["seconds"] + now - self.began, 1),
            "loss": round(float(torch.stack([t["loss"] for t in tallies]).mean()), 4),
            "seen": {k: round(v, 3) for k, v in self.progress.seen.items()},
            "kinds": {k: round(v, 3) for k, v in self.progress.kinds.items()},
        }
        self.log["curve"].append(record)
        print(record, f"waited {self.waited:.1f}", flush=True)
        self._advance(now)
        self.feed.turn_to(self.stage, self.progress.odds(self.stage))
        if now - self.saved > SAVE_EVERY:
            self.save()

    def _advance(self, now: float) -> None:
        over = now - self.stage_began > STAGES[self.stage].longest * self.options.patience
        if self.stage + 1 < len(STAGES) and (over or self.progress.passed(self.stage)):
            verdict = "time is up" if over else "passed"
            name, spent = STAGES[self.stage].name, now - self.stage_began
            print(f"-- {name}: {verdict} after {spent:.0f} s, waited {self.waited:.1f} s", flush=True)
            self.stage += 1
            self.stage_began = now

    def save(self) -> None:
        """Write everything that resuming needs."""
        self.saved = time.monotonic()
        spent = self.log["seconds"] + self.saved - self.began
        session = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self.options).items()}
        entry = session | {"spent": round(self.saved - self.began, 1)}
        log = self.log | {"stage": self.stage, "seconds": spent, "progress": vars(self.progress)}
        save_log(log | {"sessions": [*self.log["sessions"], entry]}, self.options.out)
        save_tensors(self.pupil.state_dict(), self.options.out, "weights")
        save_tensors(moments(self.optimizer), self.options.out, "moments")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".pocket/run"))
    parser.add_argument("--resume", type=Path, help="folder to resume from; default: --out")
    parser.add_argument("--seconds", type=float, default=2700, help="length of this session")
    parser.add_argument("--finish", type=float, default=0, help="share of it the rate falls in")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", help="start at this stage instead of where the record stopped")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--shrink", type=int, help="divide all batches by this")
    parser.add_argument("--patience", type=float, help="stretch the stages' longest times by this")
    parser.add_argument("--line", action="store_true", help="positions on one line: the 1-D twin")
    parser.add_argument("--init", type=Path, help="checkpoint to begin from instead of from chance")
    parser.add_argument("--plain", action="store_true", help="do not compile")
    chosen = parser.parse_args()
    chosen.resume = chosen.resume or chosen.out
    fast = torch.cuda.is_available()
    chosen.patience = chosen.patience or (1.0 if fast else 60.0)
    chosen.shrink = chosen.shrink or (1 if fast else 16)
    return chosen


if __name__ == "__main__":
    School(options()).run()
