"""Print the decomposition in docs/performance.md: what a one-shot run holds, by formula and as measured on a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "gpu"
SHAPES = {  # intermediate size, KV heads, width of a head
    "qwen2-vl-7b": (18944, 4, 128),
    "qwen2.5-vl-7b": (18944, 4, 128),
    "qwen2.5-vl-3b": (11008, 2, 128),
    "llava-onevision-7b": (18944, 4, 128),
}
SEEN = 50_000


def parts(about: dict[str, Any], shape: tuple[int, int, int], tokens: int) -> tuple[float, float, float]:
    """Bytes of keys and values, of activations at the peak of a layer, and of all logits; bf16."""
    wide, heads, dim = shape
    hidden, layers = about["hidden_size"], about["layers"]
    numbers = 3 * wide + 4 * hidden + 2 * dim
    return 4.0 * layers * heads * dim * tokens, 2.0 * numbers * tokens, 2.0 * about["vocabulary"] * tokens


def main() -> None:
    """One row a shape; MiB, by formula / measured."""
    print("| shapes of | tokens | KV | activations | all logits | KV and all logits |")
    print("|---|---|---|---|---|---|")
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = {row["name"]: row["median"] for row in found["rows"]}
        for name, about in found["settings"]["shapes"].items():
            if name not in SHAPES:
                continue
            tokens = SEEN // about["tokens_per_step"] * about["tokens_per_step"]
            kv, activations, logits = (part / 2**20 for part in parts(about, SHAPES[name], tokens))
            weights = rows[f"{name}/memory/weights"]
            last, everything = (f"{name}/memory/one-shot-{which}-logits/{SEEN // 1000}K" for which in ("last", "all"))
            held, peak = ((rows[f"{last}/{what}"] - weights) / 2**20 for what in ("held", "peak"))
            with_logits = (rows[f"{everything}/held"] - weights) / 2**20
            print(f"| {name} | {tokens:,} | {kv:,.0f} / {held:,.0f} | {activations:,.0f} / {peak - held:,.0f} | "
                  f"{logits:,.0f} / {with_logits - held:,.0f} | {kv + logits:,.0f} / {with_logits:,.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
