"""Makes the file of this release's format that `test_format.py` reads for ever; run once for each format.

python -m tests.saving.make_format
"""

from __future__ import annotations

import tempfile
from contextlib import chdir
from pathlib import Path

from infinipot_v import load_model
from infinipot_v.saving.memory import FORMAT
from infinipot_v.testing import write_checkpoint
from tests.saving.memories import opened, pictures

FAMILY, QUESTION, FRAMES = "qwen2_5_vl", "What is it?", 25


def main() -> None:
    """Write `data/memory-FORMAT.ivm.safetensors`."""
    path = Path(__file__).parent.resolve() / "data" / f"memory-{FORMAT}.ivm.safetensors"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_checkpoint(FAMILY, Path("tiny"))
        session = opened(load_model("tiny", device="cpu"), ring=1)
        session.watch(iter(pictures(FRAMES)))
        answer = session.ask(QUESTION)
        path.parent.mkdir(exist_ok=True)
        session.save(path, extra={"answer": answer.text})


if __name__ == "__main__":
    main()
