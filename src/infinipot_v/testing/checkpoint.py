"""Writes a checkpoint folder: the family says what is in it, this file puts it there.

Knows no family: each is one file under `families/`, found by its name. torch and transformers load on the first write.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinipot_v.nearest import nearest
from infinipot_v.testing import families as _families
from infinipot_v.testing.tokenizer import TinyTokenizer
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.testing.recipe import Recipe


def families() -> list[str]:
    """Names that `write_checkpoint` knows, sorted; each is a `model_type` of transformers."""
    return sorted(module.name for module in pkgutil.iter_modules(_families.__path__))


def write_checkpoint(family: str, folder: str | Path, *, seed: int = 0, **overrides: Any) -> Path:
    """Write a tiny random checkpoint of `family` into `folder` (made when missing) and return the folder.

    `overrides` are keys of config.json; a mapping (`vision_config={"depth": 1}`) is merged into the one there, and
    where the checkpoint keeps a `text_config`, keys of that one may be given flat. Weights are float32 and
    depend on `seed`.
    Raises `UserError` for an unknown family, an unknown config key, or a folder that is a file.
    """
    tokenizer = TinyTokenizer()
    recipe = _recipe(family, tokenizer)
    _override(family, recipe.config, overrides)
    folder = _make_folder(folder)
    own = recipe.chat_template if recipe.text_template is None else recipe.text_template
    tokenizer.write(folder, recipe.tokenizer_class, own)
    _write_template(folder / recipe.template_file, recipe.chat_template)
    _write_json(folder / "config.json", recipe.config)
    _write_weights(recipe, folder, seed)
    # `save_pretrained` has rewritten the configs in its own layout: the hub's layout goes back.
    for name, content in {"config.json": recipe.config, **recipe.files}.items():
        _write_json(folder / name, content)
    return folder


def _recipe(family: str, tokenizer: TinyTokenizer) -> Recipe:
    if family not in families():
        near, known = nearest(family, families(), cutoff=0), ", ".join(families())
        raise UserError(f"no tiny checkpoint for family {family!r}; the nearest is {near!r} of {known}")
    recipe: Recipe = importlib.import_module(f"{_families.__name__}.{family}").recipe(tokenizer)
    return recipe


def _override(family: str, config: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    for key, value in overrides.items():
        home = config if key in config else config.get("text_config", {})
        if key not in home:
            raise UserError(f"the tiny {family} config has no key {key!r}; it has {', '.join(config)}")
        if isinstance(value, Mapping) and isinstance(home[key], dict):
            home[key].update(value)
        else:
            home[key] = value


def _make_folder(folder: str | Path) -> Path:
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write a checkpoint into {folder}: {error.strerror}; name another folder") from error
    return folder


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_template(path: Path, template: str) -> None:
    if path.suffix == ".jinja":
        path.write_text(template, encoding="utf-8")
    elif template:
        _write_json(path, {"chat_template": template})


def _write_weights(recipe: Recipe, folder: Path, seed: int) -> None:
    """By `save_pretrained`, which knows the names that weights have on the hub."""
    import torch
    import transformers

    from infinipot_v.testing.weights import randomise

    config = transformers.AutoConfig.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]), _no_progress_bar():
        torch.manual_seed(seed)  # some gates start from a random value of their own
        model = getattr(transformers, recipe.auto_class).from_config(config)
        randomise(model, seed, recipe.gain)
        model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
