"""Whose memory it is: keys and values mean something to the weights that made them, and to no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from infinipot_v.models.base import Model
from infinipot_v.types import UserError

SAMPLES = 8
"""Numbers of each parameter that stand for all of it."""

_CHANGING = {"architectures", "attn_implementation", "dtype", "id2label", "label2id", "quantization_config",
             "torch_dtype", "transformers_version", "use_cache"}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """What must be alike: the `family`, the configuration's values, the pixels' `recipe`, and the weights.

    `samples` are a few numbers of every parameter, float32: a fingerprint that is quick to take of any model and can be
    compared where the weights were loaded in another dtype. `name` is how the user called the checkpoint; it may lie
    elsewhere now.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    recipe: str
    dtype: str
    device: str
    samples: Tensor

    @classmethod
    def of(cls, model: Model) -> Identity:
        """That of a loaded model."""
        config = dict(_scalars(model.hf.config.to_dict()))
        dtype = str(model.hf.dtype).removeprefix("torch.")
        return cls(model.name, model.family, config, repr(model.recipe), dtype, model.device.type, _samples(model.hf))

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch knows it. Raises `UserError` for none."""
        found = getattr(torch, self.dtype, None)
        if not isinstance(found, torch.dtype):
            raise UserError(f"{self.dtype[:60]!r} is no dtype")
        return found

    def differences(self, other: Identity) -> list[str]:
        """What of this, saved, is not so in `other`, the model that is to read it; empty for the same model."""
        if self.family != other.family:
            return [f"the family is {self.family} there and {other.family} here"]
        found = [
            f"{key} is {value} there and {other.config[key]} here"
            for key, value in self.config.items()
            if key in other.config and other.config[key] != value
        ]
        if self.recipe != other.recipe:
            found.append("the pixels are prepared in another way")
        if not found and not self._same_weights(other):
            found.append("the weights are others")
        return found

    def _same_weights(self, other: Identity) -> bool:
        if self.samples.shape != other.samples.shape:
            return False
        if self.dtype == other.dtype:
            return torch.equal(self.samples, other.samples)
        return torch.allclose(self.samples, other.samples, rtol=2**-7, atol=1e-6)

    def elsewhere(self, other: Identity) -> str:
        """What a memory of this goes through to be one of `other`; empty where device and dtype are alike."""
        there, here = f"{self.dtype} on {self.device}", f"{other.dtype} on {other.device}"
        return "" if there == here else f"made in {there}, here in {here}"


def _scalars(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The plain values of a configuration, by their dotted names; what changes without changing the model is left out.

    Releases of transformers differ in what they list, so only what both list is ever compared.
    """
    for key, value in config.items():
        if key in _CHANGING or str(key).startswith("_"):
            continue
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{prefix}{key}", value


@torch.no_grad()
def _samples(hf: Any) -> Tensor:
    """Evenly spaced numbers of every parameter, float32 on the CPU; parameters that are not loaded have none."""
    taken: dict[torch.device, list[Tensor]] = {}
    for parameter in hf.parameters():
        if parameter.device.type != "meta" and parameter.numel():
            taken.setdefault(parameter.device, []).append(_spread(parameter))
    return torch.cat([torch.cat(some).cpu() for some in taken.values()])


def _spread(parameter: Tensor) -> Tensor:
    flat = parameter.detach().reshape(-1)
    index = torch.arange(SAMPLES, device=flat.device) * (flat.numel() - 1) // (SAMPLES - 1)
    return flat[index].float()
