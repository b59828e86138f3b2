"""A `CappedCache` in a loop of one's own, and under plain `model.generate()`. Usage: generate.py MODEL"""

import sys

import numpy as np
import torch

import infinipot_v as iv

model = iv.load_model(sys.argv[1], device="cpu")
cache = iv.CappedCache.from_model(model.hf, iv.Budget(tokens=48), policy="infinipot-v")
canvas, prefix = model.canvas(112, 112, tokens_per_step=16), model.prompt.prefix()
clock = model.clock(len(prefix), canvas.grid)
with cache.prefix():
    model.prefill_text(prefix, clock.prefix_positions(), cache)

pictures = np.random.default_rng(0).integers(0, 255, (40, 112, 112, 3), dtype=np.uint8)
for step in range(20):  # two frames make a step
    frames = [iv.Frame(pictures[i], seconds=float(i)) for i in (2 * step, 2 * step + 1)]
    block = model.encode(frames, canvas, step)
    positions, clock = clock.place(block)
    with cache.append(block.steps, block.cells, canvas.grid):  # compacts first when it is full
        model.prefill(block, positions, cache)

ids = torch.tensor([model.prompt.question(None, [], "What happened?")])
mask, at = torch.ones(1, cache.get_seq_length() + ids.shape[1]), clock.text_positions(ids.shape[1])
memory = {iv.cache_name(model.hf): cache}  # cache=cache from transformers 5.24 on, past_key_values=cache before
reply = model.hf.generate(ids, attention_mask=mask, position_ids=at, **memory, max_new_tokens=16)
cache.rollback()  # the question and its answer leave the memory
print(f"held {cache.held_tokens} of {cache.budget.tokens}:", model.prompt.tokenizer.decode(reply[0, ids.shape[1] :]))
