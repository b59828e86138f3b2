"""The benchmarks by name; each is imported when it is wanted."""

from __future__ import annotations

from importlib import import_module

from infinipot_v.bench.plan import Bench

HOMES = {
    "memory": "weighing:MEMORY",
    "stream": "stream:STREAM",
    "compress": "compression:COMPRESS",
    "answer": "answer:ANSWER",
    "gpu": "gpu:GPU",
}


def bench_named(name: str) -> Bench:
    """The benchmark of a name that is one."""
    module, _, attribute = HOMES[name].partition(":")
    found: Bench = getattr(import_module(f"infinipot_v.bench.{module}"), attribute)
    return found
