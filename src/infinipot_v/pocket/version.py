"""The version of the world and its model: one hash that every result carries."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

_HERE = Path(__file__).parent
# Whatever decides a picture, a question, a truth, a seed's split or a reply. Order matters.
HASHED: tuple[str, ...] = (
    "lexicon.py",
    "levels.py",
    "seeds.py",
    "cast.py",
    "scene.py",
    "plan.py",
    "sprites.py",
    "textures.py",
    "render.py",
    "video.py",
    "facts.py",
    "questions.py",
    "stream.py",
    "checkpoint/config.json",
    "checkpoint/preprocessor_config.json",
    "checkpoint/tokenizer.json",
    "checkpoint/chat_template.jinja",
    "checkpoint/model.safetensors",
)


@lru_cache(maxsize=1)
def pocket_version() -> str:
    """Twelve hexadecimal digits over the generator's sources, the questions and the weights."""
    digest = sha256()
    for name in HASHED:
        content = (_HERE / name).read_bytes()
        digest.update(f"{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:12]
