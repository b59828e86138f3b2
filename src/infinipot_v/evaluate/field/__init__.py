"""The benchmarks of the field: one file each, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from infinipot_v.nearest import did_you_mean
from infinipot_v.types import UserError

if TYPE_CHECKING:
    from infinipot_v.evaluate.field.base import FieldBenchmark

_CLASSES = {
    "videomme": "videomme:VideoMME",
    "mlvu": "mlvu:MLVU",
    "egoschema": "egoschema:EgoSchema",
    "longvideobench": "longvideobench:LongVideoBench",
    "rvs-ego": "rvs:RVSEgo",
    "rvs-movie": "rvs:RVSMovie",
    "vstream-qa": "vstream_qa:VStreamQA",
    "streamingbench": "streamingbench:StreamingBench",
    "ovobench": "ovobench:OVOBench",
    "proready-qa": "proready_qa:ProReadyQA",
}


def benchmark_names() -> tuple[str, ...]:
    """All names."""
    return tuple(_CLASSES)


def benchmark_class(name: str) -> type[FieldBenchmark]:
    """The class of a name. Raises `UserError` for one that there is not."""
    if name not in _CLASSES:
        raise UserError(
            f"unknown benchmark {name!r}{did_you_mean(name, benchmark_names())}; there are: {', '.join(_CLASSES)}"
        )
    module, _, found = _CLASSES[name].partition(":")
    chosen: type[FieldBenchmark] = getattr(import_module(f"infinipot_v.evaluate.field.{module}"), found)
    return chosen
