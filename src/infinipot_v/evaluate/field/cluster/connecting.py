"""In touch with a Ray cluster: one that is there, or one that is started here and goes with the run."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from infinipot_v.types import UserError

LOCAL = "local"
"""The address that starts a cluster on this machine, for as long as the run takes."""
KNOCK = 10.0
"""Seconds that a cluster may take to answer at its address."""
STORE = 100 * 2**20
"""Bytes of the object store of a cluster started here: what goes through it are records."""


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield ray, in touch with a cluster. What was begun here ends with the block; what was there before stays.

    Raises `UserError` where ray is missing, and for an address at which there is no cluster.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    _knock(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address)
        yield ray
    finally:
        ray.shutdown()
        with suppress(ValueError):  # of threads other than the main one, where Ray has set no handler either
            signal.signal(signal.SIGTERM, before)


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise UserError("a run over many machines needs ray: pip install 'infinipot-v[ray]'") from error


def _connect(ray: Any, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        options |= {"include_dashboard": False, "object_store_memory": STORE}
    try:
        with _unreported():
            ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise _unreachable(address, " ".join(str(error).split())) from error


@contextmanager
def _unreported() -> Iterator[None]:
    """A cluster that is started here reports nothing to anybody, whatever the user has said of others."""
    before = os.environ.get("RAY_USAGE_STATS_ENABLED")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        yield
    finally:
        os.environ.pop("RAY_USAGE_STATS_ENABLED")
        if before is not None:
            os.environ["RAY_USAGE_STATS_ENABLED"] = before


def _knock(address: str) -> None:
    """Find out soon whether anybody listens; Ray itself would take minutes, and then end the process."""
    host, colon, port = address.removeprefix("ray://").rstrip("/").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, why: str) -> UserError:
    if address == LOCAL:
        return UserError(f"Ray cannot start on this machine ({why}): see its logs in /tmp/ray/session_latest/logs")
    return UserError(
        f"no Ray cluster can be reached at {address} ({why}): start one with ray start --head, and give the address "
        "that it names, auto on one of its machines, or local for this machine alone; a cluster that asks for a token "
        "needs RAY_AUTH_MODE=token here, too"
    )
