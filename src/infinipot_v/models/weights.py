"""The weights: from safetensors only, whole, and as the configuration says. Nothing pickled is ever opened."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infinipot_v.models.hub import Files, first_line
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

FIXED = {"use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}
"""What a caller cannot choose: no pickle, no code of the checkpoint's, and a list of what was missing."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def load_weights(files: Files, config: dict[str, Any], device: str, **options: Any) -> Any:
    """Load the stock Hugging Face model of `files`, in evaluation mode, on `device` unless `device_map` places it.

    `options` go to `from_pretrained`. Raises `UserError` for weights that are missing, pickled, damaged, or of another
    shape than `config` says; for a quantisation whose library is not installed; for an attention that does not exist.
    """
    from transformers import AutoModelForImageTextToText

    _check_options(options)
    _check_files(files, config, options.get("variant"))
    placed = _placement(config, device, options)
    loaded: Any = None
    with damage(f"the weights of {files.name} cannot be loaded"), _bars_only_on_a_terminal():
        loaded = AutoModelForImageTextToText.from_pretrained(
            files.name, **FIXED, **files.where, **{**options, **placed}
        )
    hf, info = loaded
    _check_complete(files.name, info)
    # A quantised model was placed while it was loaded, and refuses to be moved.
    stays = "device_map" in options or getattr(hf, "is_quantized", False)
    return hf.eval() if stays else hf.eval().to(device)


@contextmanager
def damage(what: str) -> Iterator[None]:
    """Turn whatever transformers and its parsers raise into one line that begins with `what`."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:  # mostly transformers says how to install it
        reason = first_line(error)
        remedy = f" (pip install {error.name})" if error.name and "pip install" not in reason else ""
        raise UserError(f"{what}, a library is missing: {reason}{remedy}") from error
    except Exception as error:
        raise UserError(f"{what}: {first_line(error)}") from error


def _check_options(options: dict[str, Any]) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    for name in FIXED.keys() & options.keys():
        raise UserError(f"{name} cannot be chosen: weights are read from safetensors, by stock models only")
    chosen = options.get("attn_implementation", "sdpa")
    inner = ("paged|", "queries_of_")
    known = ["auto", "eager", *(name for name in ALL_ATTENTION_FUNCTIONS.valid_keys() if not name.startswith(inner))]
    # A name with a slash is a kernel on the hub; anything but a text is transformers' to judge.
    if isinstance(chosen, str) and "/" not in chosen and chosen not in known:
        raise UserError(
            f"attn_implementation {chosen!r} cannot be used here{did_you_mean(chosen, known)}; "
            f"choose one of {', '.join(sorted(known))}"
        )


def _check_files(files: Files, config: dict[str, Any], variant: str | None) -> None:
    """See that there are safetensors, all of them, and that nothing leads to a pickle."""
    if files.path("adapter_config.json") is not None:
        raise UserError(f"{files.name} holds an adapter (PEFT): merge it into its model first, and give that folder")
    name = "model" if variant is None else f"model.{variant}"
    named = config.get("transformers_weights")
    whole = f"{name}.safetensors" if named is None else str(named)
    if not whole.endswith((".safetensors", ".safetensors.index.json")):
        raise _pickled(files.name, whole)
    if whole.endswith(".safetensors") and files.path(whole) is not None:
        return
    index = files.json(f"{whole.removesuffix('.index.json')}.index.json")
    if index is None:
        raise _without_weights(files, whole)
    _check_shards(files, index)


def _check_shards(files: Files, index: dict[str, Any]) -> None:
    shards = index.get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()) or not shards:
        raise UserError(f"the weights' index of {files.name} is damaged: download the checkpoint again")
    needed = sorted(set(shards.values()))
    for shard in needed:
        if not shard.endswith(".safetensors"):
            raise _pickled(files.name, shard)
    # On the hub they are fetched one by one; there the first that is missing is named.
    lost = [shard for shard in needed if (files.local or files.trouble) and files.path(shard) is None]
    if lost and files.trouble:
        raise files.absent(lost[0])
    if lost:
        raise UserError(
            f"{files.name} lacks {len(lost)} of its {len(needed)} files of weights ({lost[0]}, ...): "
            "download the checkpoint again"
        )


def _without_weights(files: Files, whole: str) -> UserError:
    found = sorted(p.name for p in Path(files.name).iterdir() if p.suffix in PICKLED) if files.local else []
    return _pickled(files.name, found[0]) if found else files.absent(whole)


def _pickled(name: str, file: str) -> UserError:
    return UserError(
        f"{name} has its weights in a pickle ({file}), which can run code and is never opened: take a checkpoint with "
        "model.safetensors, or convert it with save_pretrained where you trust it"
    )


def _placement(config: dict[str, Any], device: str, options: dict[str, Any]) -> dict[str, Any]:
    """Where a quantised model goes while it is loaded; nothing for others."""
    own = config.get("quantization_config")
    if own is None and options.get("quantization_config") is None:
        return {}
    if isinstance(own, dict):
        _check_quantisation(own)
    if "device_map" in options:
        return {}
    if importlib.util.find_spec("accelerate") is not None:
        return {"device_map": {"": device}}
    if device != "cpu":
        raise UserError(
            f"a quantised model comes onto {device} with the library accelerate only: pip install accelerate"
        )
    return {}


def _check_quantisation(own: dict[str, Any]) -> None:
    """transformers would load weights of an unknown quantisation as if they were plain."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    method = str(own.get("quant_method"))
    if method not in KNOWN and not own.get("load_in_4bit") and not own.get("load_in_8bit"):
        raise UserError(
            f"config.json names a quantisation {method!r} that this transformers does not know"
            f"{did_you_mean(method, KNOWN)}: update transformers, or take another checkpoint"
        )


def _check_complete(name: str, info: dict[str, Any]) -> None:
    """transformers fills missing tensors with chance, and ignores those it does not know."""
    lost = sorted(info["missing_keys"]) or sorted(str(key) for key in info["mismatched_keys"])
    # A layer that the configuration does not know is as bad as one that is missing: the model would be another.
    extra = sorted(key for key in info["unexpected_keys"] if re.search(r"(layers|blocks)\.\d+\.", key))
    if lost or extra:
        what = f"{len(lost)} tensors are missing" if lost else f"{len(extra)} tensors are not in its config.json"
        raise UserError(f"the weights of {name} are incomplete: {what} ({(lost or extra)[0]}, ...): download it again")


@contextmanager
def _bars_only_on_a_terminal() -> Iterator[None]:
    """transformers draws its bar into files and pipes too."""
    from transformers.utils import logging

    if logging.is_progress_bar_enabled() and not (sys.stderr is not None and sys.stderr.isatty()):
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.enable_progress_bar()
    else:
        yield
