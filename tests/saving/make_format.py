"""Makes the file of this release's format that `test_format.py` reads for ever; run once for each format.

python -m tests.saving.make_format
"""

from __future__ import annotations

import tempfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

from infinipot_v import Frame, Session, load_model
from infinipot_v.models.base import Model
from infinipot_v.saving.memory import FORMAT
from infinipot_v.testing import write_checkpoint
from tests.saving.memories import opened, pictures

FAMILY, QUESTION, FRAMES = "qwen2_5_vl", "What is it?", 25


def session_of(number: int, model: Model) -> Session:
    """The session that a file of the format `number` was made with; from 2 on it takes text."""
    return opened(model, ring=1, **({"text_tokens": 30} if number > 1 else {}))


def frames_of(number: int, count: int) -> list[Frame]:
    """The frames that it watched; from 2 on every third one says something, the one that waits too."""
    return [
        replace(frame, text=f"it is {index}") if number > 1 and index % 3 == 0 else frame
        for index, frame in enumerate(pictures(count))
    ]


def main() -> None:
    """Write `data/memory-FORMAT.ivm.safetensors`."""
    path = Path(__file__).parent.resolve() / "data" / f"memory-{FORMAT}.ivm.safetensors"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_checkpoint(FAMILY, Path("tiny"))
        session = session_of(FORMAT, load_model("tiny", device="cpu"))
        session.watch(iter(frames_of(FORMAT, FRAMES)))
        answer = session.ask(QUESTION)
        path.parent.mkdir(exist_ok=True)
        session.save(path, extra={"answer": answer.text})


if __name__ == "__main__":
    main()
