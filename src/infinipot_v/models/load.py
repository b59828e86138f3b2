"""Loading a checkpoint as users do: a hub id, a local folder, or `"pocket"`, the embedded model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infinipot_v.models import adapter_for
from infinipot_v.models.attention import use_grouped
from infinipot_v.models.base import Model
from infinipot_v.models.hub import Files
from infinipot_v.models.weights import damage, load_weights
from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

POCKET = Path(__file__).parent.parent / "pocket" / "checkpoint"
DTYPES = ("float32", "bfloat16", "float16")


def load_model(
    name: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attn_implementation: str = "auto",
    device_map: Any = None,
    revision: str | None = None,
    **options: Any,
) -> Model:
    """Load a checkpoint and return it behind its family's adapter.

    `device`: `auto` (CUDA if there is one), `cpu`, `cuda:0`, ... ; `device_map` as in transformers overrules it.
    `dtype`: `auto` (the checkpoint's own; float16 becomes float32 on a CPU), `float32`, `bfloat16`, `float16`.
    `attn_implementation`: `auto` (SDPA, without repeated K and V where heads are grouped: models/attention.py),
    `sdpa`, `eager`, `flash_attention_2`. `revision`: branch, tag or commit of a hub id.
    `options` go to `from_pretrained`: `quantization_config`, say. A quantisation that config.json names needs nothing.

    Weights are read from safetensors only; no pickle and no code of the checkpoint's is ever run. `HF_HUB_OFFLINE` and
    `TRANSFORMERS_OFFLINE` are respected; without a network, what lies in the hub's cache is loaded from there.
    Raises `UserError` when there is no such checkpoint, it is text-only, its architecture is not supported (the nearest
    that is gets named), or a needed file is missing or damaged.
    """
    files = Files.of(str(POCKET if str(name) == "pocket" else name), revision)
    config = config_of(files)
    adapter = adapter_for(str(config.get("model_type")))
    device = _device(device)
    if device_map == "meta":
        raise UserError("device_map='meta' holds no weights: choose auto, or a device")
    if device_map is not None:
        options["device_map"] = device_map
    _check_generation_config(files)
    options["attn_implementation"] = "sdpa" if attn_implementation == "auto" else attn_implementation
    hf = load_weights(files, config, device, dtype=dtype_of(dtype, config, device), **options)
    if attn_implementation == "auto":
        use_grouped(hf)
    tokenizer = tokenizer_of(files)
    with damage(f"the checkpoint {files.name} is damaged"):
        prompt = adapter.prompt_of(tokenizer, templates_of(files, tokenizer), hf.config)
        model = adapter(hf, prompt, adapter.recipe_of(*pixel_files(files)), str(name))
        model.check()
    return model


def config_of(files: Files) -> dict[str, Any]:
    """config.json. Raises `UserError` where there is none, and for a text-only checkpoint."""
    config = files.json("config.json")
    if config is None:
        raise files.absent("config.json")
    if not any(key in config for key in ("vision_config", "vision_tower", "vit_config")):
        kind = config.get("model_type")
        raise UserError(f"{files.name} is a text-only checkpoint ({kind}): watching needs a vision-language model")
    return config


def _check_generation_config(files: Files) -> None:
    """It says where answers end. Missing is fine; damaged, transformers would silently make one up."""
    own = files.json("generation_config.json") or {}
    ends = own.get("eos_token_id")
    for end in ends if isinstance(ends, list) else [ends]:
        if end is not None and (not isinstance(end, int) or isinstance(end, bool)):
            raise UserError(
                f"generation_config.json of {files.name} is damaged (eos_token_id is {ends!r}): "
                "download the checkpoint again"
            )


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


def dtype_of(dtype: str, config: dict[str, Any], device: str) -> Any:
    """What a dtype's name means for a checkpoint on a device. Raises `UserError` for an unknown one."""
    import torch

    text = config.get("text_config")
    text = text if isinstance(text, dict) else {}
    own = str(
        config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype") or "float32"
    )
    chosen = own if dtype == "auto" else dtype
    if chosen not in DTYPES:
        raise UserError(f"unknown dtype {chosen!r}{did_you_mean(chosen, DTYPES)}; choose auto, {', '.join(DTYPES)}")
    # Half precision has no fast path on CPUs, and overflows where bfloat16 does not.
    if dtype == "auto" and device == "cpu" and chosen == "float16":
        chosen = "float32"
    return getattr(torch, chosen)


def tokenizer_of(files: Files) -> Any:
    """The checkpoint's tokenizer. Raises `UserError` where it is missing, damaged or empty."""
    from transformers import AutoTokenizer

    with damage(f"the tokenizer of {files.name} cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(files.name, trust_remote_code=False, **files.where)
        if not tokenizer("a", add_special_tokens=False)["input_ids"]:
            raise UserError(f"the tokenizer of {files.name} is empty (tokenizer.json): download the checkpoint again")
        return tokenizer


def pixel_files(files: Files) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The files that say how pixels are made, for images and for videos; either may be missing, not both."""
    video = files.json("video_preprocessor_config.json")
    image = files.json("preprocessor_config.json") or files.json("processor_config.json")
    if image is None and video is None:
        raise files.absent("preprocessor_config.json")
    return image, video


def templates_of(files: Files, tokenizer: Any) -> list[str]:
    """The checkpoint's chat templates: the tokenizer's, and the processor's own file beside it."""
    processor = (files.json("chat_template.json") or {}).get("chat_template")
    return [template for template in (tokenizer.chat_template, processor) if isinstance(template, str)]
