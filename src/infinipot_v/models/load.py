"""Loading a checkpoint as users do: a hub id, a local folder, or `"pocket"`, the embedded model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infinipot_v.models import adapter_for
from infinipot_v.models.base import Model
from infinipot_v.models.preprocess import PixelRecipe
from infinipot_v.models.prompt import Prompt
from infinipot_v.types import UserError

POCKET = Path(__file__).parent.parent / "pocket" / "checkpoint"


def load_model(
    name: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attn_implementation: str = "sdpa",
    device_map: Any = None,
    revision: str | None = None,
    **options: Any,
) -> Model:
    """Load a checkpoint and return it behind its family's adapter.

    `device`: `auto` (CUDA if there is one), `cpu`, `cuda:0`, ... ; `device_map` as in transformers overrules it.
    `dtype`: `auto` (the checkpoint's own; float16 becomes float32 on a CPU), `float32`, `bfloat16`, `float16`.
    `attn_implementation`: `sdpa`, `eager`, `flash_attention_2`. `options` go to `from_pretrained` (quantisation, say).
    Weights are read from safetensors only. Raises `UserError` when there is no such checkpoint, it is text-only, its
    architecture is not supported (the nearest that is gets named), or a needed file is missing or damaged.
    """
    folder = str(POCKET if str(name) == "pocket" else name)
    where = {} if revision is None else {"revision": revision}
    config = _config(folder, where)
    adapter = adapter_for(str(config.get("model_type")))
    device = _device(device)
    if device_map == "meta":
        raise UserError("device_map='meta' holds no weights: choose auto, or a device")
    placed = {"device_map": device_map} if device_map is not None else {}
    hf = _weights(
        folder,
        dtype=_dtype(dtype, config, device),
        attn_implementation=attn_implementation,
        **placed,
        **where,
        **options,
    )
    # A quantised model was placed while it was loaded, and refuses to be moved.
    hf = hf.eval() if placed or getattr(hf, "is_quantized", False) else hf.eval().to(device)
    tokenizer = _tokenizer(folder, where)
    with _damage(f"the checkpoint {folder} is damaged"):
        placeholder = tokenizer.convert_ids_to_tokens(_video_token(hf.config))
        if not isinstance(placeholder, str):
            raise UserError(f"the video token of {folder} is not in its tokenizer: download the checkpoint again")
        prompt = Prompt(tokenizer, _template(folder, tokenizer, where), placeholder)
        model = adapter(hf, prompt, _recipe(folder, where), str(name))
        model.check()
    return model


def _config(folder: str, where: dict[str, str]) -> dict[str, Any]:
    if len(folder) > 1000 or "\0" in folder:
        raise UserError(f"no checkpoint has such a name: {folder:.60}...")
    if (Path(folder).exists() or folder.startswith((".", "/", "~"))) and not Path(folder, "config.json").is_file():
        what = (
            "has no config.json"
            if Path(folder).is_dir()
            else "does not exist"
            if not Path(folder).exists()
            else "is a file"
        )
        raise UserError(f"the model folder {folder} {what}: give a Hugging Face checkpoint folder or a hub id")
    config = _json(folder, "config.json", where)
    if config is None:
        raise UserError(
            f"no checkpoint {folder!r} here, and the hub cannot be reached or does not know it: "
            f"download it where there is a network (hf download {folder}) and give its folder"
        )
    if not any(key in config for key in ("vision_config", "vision_tower", "vit_config")):
        raise UserError(
            f"{folder} is a text-only checkpoint ({config.get('model_type')}): watching needs a vision-language model"
        )
    return config


def _json(folder: str, file: str, where: dict[str, str]) -> dict[str, Any] | None:
    """Read one of the checkpoint's JSON files from its folder or the hub's cache; None when it has no such file."""
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(
            folder, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False,
            _raise_exceptions_for_gated_repo=False, **where,
        )  # fmt: skip
    except OSError:
        return None
    if path is None:
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} of {folder} is damaged ({error}): download the checkpoint again") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} of {folder} is damaged (not an object): download the checkpoint again")
    return content


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.empty(1, device=device).device.type == "meta":
            raise RuntimeError("it holds no data")
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch's, for unknown and for absent devices
        raise UserError(
            f"device {device!r} cannot be used with this torch: choose auto, cpu, cuda or cuda:0"
        ) from error
    return device


def _dtype(dtype: str, config: dict[str, Any], device: str) -> Any:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    text = config.get("text_config")
    text = text if isinstance(text, dict) else {}
    own = str(
        config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype") or "float32"
    )
    chosen = own if dtype == "auto" else dtype
    if chosen not in known:
        raise UserError(f"unknown dtype {chosen!r}: choose auto, float32, bfloat16 or float16")
    # Half precision has no fast path on CPUs, and overflows where bfloat16 does not.
    if dtype == "auto" and device == "cpu" and chosen == "float16":
        chosen = "float32"
    return known[chosen]


def _weights(folder: str, **options: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    loaded: Any = None
    with _damage(f"the weights of {folder} cannot be loaded"):
        loaded = AutoModelForImageTextToText.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **options
        )
    hf, info = loaded
    lost = sorted(info["missing_keys"]) or sorted(str(key) for key in info["mismatched_keys"])
    # A layer that the configuration does not know is as bad as one that is missing: the model would be another.
    extra = sorted(key for key in info["unexpected_keys"] if re.search(r"(layers|blocks)\.\d+\.", key))
    if lost or extra:
        what = f"{len(lost)} tensors are missing" if lost else f"{len(extra)} tensors are not in its config.json"
        raise UserError(
            f"the weights of {folder} are incomplete: {what} ({(lost or extra)[0]}, ...): download it again"
        )
    return hf


@contextmanager
def _damage(what: str) -> Iterator[None]:
    """Turn whatever transformers and its parsers raise into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{what}: {reason}") from error


def _tokenizer(folder: str, where: dict[str, str]) -> Any:
    from transformers import AutoTokenizer

    with _damage(f"the tokenizer of {folder} cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(folder, **where)
        if not tokenizer("a", add_special_tokens=False)["input_ids"]:
            raise UserError(f"the tokenizer of {folder} is empty (tokenizer.json): download the checkpoint again")
        return tokenizer


def _recipe(folder: str, where: dict[str, str]) -> PixelRecipe:
    """The pixels' recipe, from whichever of its files the checkpoint has."""
    video = _json(folder, "video_preprocessor_config.json", where)
    image = _json(folder, "preprocessor_config.json", where) or _json(folder, "processor_config.json", where)
    if image is None and video is None:
        raise UserError(f"{folder} has no preprocessor_config.json: download the checkpoint again, with all its files")
    return PixelRecipe.from_configs(image, video)


def _video_token(config: Any) -> int:
    for name in ("video_token_id", "video_token_index"):
        if getattr(config, name, None) is not None:
            with _damage(f"config.json has an impossible {name}"):
                return int(getattr(config, name))
    raise UserError("the checkpoint's config.json names no video token: it was not made for video")


def _template(folder: str, tokenizer: Any, where: dict[str, str]) -> str:
    """The chat template that knows videos: the tokenizer's, or the processor's own file beside it."""
    processor = (_json(folder, "chat_template.json", where) or {}).get("chat_template")
    for template in (tokenizer.chat_template, processor):
        if isinstance(template, str) and "video" in template:
            return template
    raise UserError(f"the checkpoint {folder} has no chat template that knows videos (chat_template.json or .jinja)")
