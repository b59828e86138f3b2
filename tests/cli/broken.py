"""Checkpoints with missing or damaged parts: what is done to a copy of a good one, by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


class Evil:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; None takes one out."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def write_pickle(folder: Path, name: str) -> None:
    """A malicious pickle; opening it would make `folder/opened`."""
    torch.save(Evil(folder / "opened"), folder / name)


def shard(folder: Path, last: str = "model-00002-of-00002.safetensors") -> None:
    """Split the weights into two files and an index, as large checkpoints are; the second is named `last`."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], last: names[1::2]}
    for file, own in parts.items():
        save_file({name: weights[name] for name in own}, folder / file, metadata={"format": "pt"})
    places = {name: file for file, own in parts.items() for name in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_pickle(folder, "pytorch_model.bin")


def _pickled_shard(folder: Path) -> None:
    shard(folder)
    write_pickle(folder, "model-00002-of-00002.bin")
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002-of-00002.safetensors", "model-00002-of-00002.bin"))


def _pickle_by_name(folder: Path) -> None:
    write_pickle(folder, "adapter_model.bin")
    edit(folder / "config.json", transformers_weights="adapter_model.bin")


def _pickled_adapter(folder: Path) -> None:
    write_pickle(folder, "adapter_model.bin")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))


def _foreign_code(folder: Path) -> None:
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(folder / 'opened')!r}).touch()\n")
    edit(
        folder / "tokenizer_config.json", tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    )
    (folder / "tokenizer.json").unlink()


def _lost_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def _torn_shard(folder: Path) -> None:
    shard(folder)
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.2." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def _cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100]) and None


def _lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _change(name: str, **changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / name, **changes)


BREAK: dict[str, Callable[[Path], None]] = {
    "pickled": _pickled,
    "pickled_shard": _pickled_shard,
    "pickle_by_name": _pickle_by_name,
    "pickled_adapter": _pickled_adapter,
    "foreign_code": _foreign_code,
    "no_config": _lose("config.json"),
    "no_weights": _lose("model.safetensors"),
    "no_preprocessor": _lose("preprocessor_config.json"),
    "torn_config": _cut("config.json"),
    "torn_weights": _cut("model.safetensors"),
    "torn_tokenizer": _cut("tokenizer.json"),
    "torn_generation_config": _cut("generation_config.json"),
    "wrong_end_token": _change("generation_config.json", eos_token_id="the end"),
    "lost_shard": _lost_shard,
    "torn_shard": _torn_shard,
    "lost_layer": _without_a_layer,
    "other_family": _change("config.json", model_type="qwen2_5_vll"),
    "unknown_quantisation": _change("config.json", quantization_config={"quant_method": "bitsandbites_4bit"}),
    "needs_bitsandbytes": _change(
        "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}
    ),
    "needs_torchao": _change(
        "config.json", quantization_config={"quant_method": "torchao", "quant_type": {"default": {"_type": "x"}}}
    ),
}


def broken(name: str, good: Path, folder: Path) -> Path:
    """A copy of `good` in `folder`, broken as `BREAK[name]` says; made once."""
    copy = folder / name
    if not copy.exists():
        shutil.copytree(good, copy)
        BREAK[name](copy)
    return copy
