"""What a family file returns: everything that goes into its checkpoint folder, weights aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """`config` is config.json as the hub has it; `files` maps further file names to their JSON (generation_config.json
    is one of them); `auto_class` is the class of transformers that builds the model.

    `chat_template` lies in `template_file` and in tokenizer_config.json; where `text_template` is not None, that one
    lies there, as a tokenizer's own template need not know pictures.
    """

    config: dict[str, Any]
    auto_class: str
    tokenizer_class: str
    chat_template: str
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text_template: str | None = None
    template_file: str = "chat_template.json"
    gain: float = 1.0
    """Spread of the random weights (see weights.py). Recurrent layers amplify rounding and want less."""
