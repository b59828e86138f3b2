"""The parts of a checkpoint beside its weights, read by the very functions that load it."""

from __future__ import annotations

from typing import Any

import torch

from infinipot_v.models import adapter_for
from infinipot_v.models import load as loading
from infinipot_v.models.prompt import Prompt
from infinipot_v.models.weights import damage
from infinipot_v.survey.files import CheckpointFiles

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")


def check_config(files: CheckpointFiles) -> None:
    """Raise `UserError` for a checkpoint that cannot watch: no config.json, text alone, an unknown architecture."""
    adapter_for(str(loading.config_of(files.files).get("model_type")))


def pixel_files(files: CheckpointFiles) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The JSON files that say how pixels are made. Raises `UserError` where there is none."""
    return loading.pixel_files(files.files)


def dtype_of(files: CheckpointFiles, dtype: str, device: str) -> torch.dtype:
    """What `load_model` makes of a dtype on a device."""
    chosen: torch.dtype = loading.dtype_of(dtype, files.config, device)
    return chosen


def prompt_of(files: CheckpointFiles) -> Prompt:
    """The checkpoint's prompt. Raises `UserError` where tokenizer or chat template are missing or damaged."""
    from transformers import AutoConfig

    adapter = adapter_for(str(files.config.get("model_type")))
    if all(files.files.path(name) is None for name in TOKENIZERS):
        raise files.files.absent("tokenizer.json")
    tokenizer = loading.tokenizer_of(files.files)
    with damage(f"the checkpoint {files.name} is damaged"):
        config = AutoConfig.from_pretrained(files.place, trust_remote_code=False, **files.where)
        return adapter.prompt_of(tokenizer, loading.templates_of(files.files, tokenizer), config)
