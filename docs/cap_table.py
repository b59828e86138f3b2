"""The table of docs/memory.md: `cap_bytes` from shapes, budget and the published formula alone. No torch, no model."""

LAYERS_HEADS_DIM = {"Qwen2-VL-7B": (28, 4, 128), "Qwen2.5-VL-7B": (28, 4, 128), "Qwen2.5-VL-3B": (36, 2, 128)}
ITEM, PREFIX, ROOM, WINDOW, METADATA = 2, 15, 512, 512, 10  # bf16; 15 template tokens; the default room


def cap_terms(layers: int, heads: int, dim: int, tokens: int) -> dict[str, int]:
    """Bytes of each term, for |M| = `tokens`; all layers alike, keys as wide as values."""
    token_bytes = 2 * layers * heads * dim * ITEM
    return {
        "stream": token_bytes * tokens,
        "prefix and room": token_bytes * (PREFIX + ROOM),
        "metadata": METADATA * layers * heads * tokens,
        "scratch": WINDOW * heads * (dim * ITEM + METADATA),
    }


def tokens_in(layers: int, heads: int, dim: int, budget: int) -> int:
    """|M| of a budget in bytes: the cap, solved for it and rounded down."""
    fixed = sum(cap_terms(layers, heads, dim, 0).values())
    one = sum(cap_terms(layers, heads, dim, 1).values()) - fixed
    return (budget - fixed) // one


def main() -> None:
    """Print one row a model and budget, in MiB, and what 512 MiB hold."""
    names = ("stream", "prefix and room", "metadata", "scratch")
    print("| shapes of | \\|M\\| | " + " | ".join(names) + " | cap | cap_bytes |\n|" + "---|" * 8)
    for model, shape in LAYERS_HEADS_DIM.items():
        for tokens in (3072, 6144, 12288):
            terms = cap_terms(*shape, tokens)
            mib = [f"{terms[name] / 2**20:.2f}" for name in names]
            cap = sum(terms.values())
            print(f"| {model} | {tokens:,} | {' | '.join(mib)} | {cap / 2**20:.1f} | {cap:,} |")
    print()
    for model, shape in LAYERS_HEADS_DIM.items():
        print(f"512 MiB hold {tokens_in(*shape, 2**29):,} tokens with the shapes of {model}")


if __name__ == "__main__":
    main()
