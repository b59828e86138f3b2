"""Tiny random checkpoints in the full Hugging Face layout, so that tests load models the way users do.

`python -m infinipot_v.testing FAMILY FOLDER` writes one. The weights are random but not small: attention depends on
content and on position, so a wrong position or a wrong slot changes the logits by far more than rounding does.
Deterministic in (family, seed), offline, a second of work. What comes out of such a model has no meaning.
"""

from __future__ import annotations

from infinipot_v.testing.checkpoint import families, write_checkpoint

__all__ = ["families", "write_checkpoint"]
