"""Hub ids: downloaded, found in the cache, refused in seconds where there is no network; with a hub of our own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from infinipot_v import UserError
from infinipot_v.models import hub
from infinipot_v.models.hub import Files
from tests.cli.broken import broken, shard
from tests.models.fake_hub import serve

LOAD = """
import json, sys, time
from infinipot_v import UserError, load_model
said = []
for name, revision in json.loads(sys.argv[1]):
    began = time.perf_counter()
    try:
        model = load_model(name, device="cpu", revision=revision)
        said.append([model.family, time.perf_counter() - began])
    except UserError as error:
        said.append([str(error), time.perf_counter() - began])
print(json.dumps(said))
"""


def load(*wanted: tuple[str, str | None], home: Path, endpoint: str, **variables: str) -> list[tuple[str, float]]:
    """In a process of its own, whose hub is at `endpoint`: what `load_model` gives or says, and how long it takes."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", LOAD, json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(pair) for pair in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def repos(checkpoint, tmp_path_factory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("repos")
    small, other = checkpoint("qwen2_vl"), checkpoint("qwen2_5_vl")
    shards = Path(shutil.copytree(small, folder / "shards"))
    shard(shards)
    pickled = broken("pickled", small, folder)
    return {("we/one", "main"): small, ("we/one", "v2"): other, ("we/two", "main"): shards, ("we/old", "main"): pickled}


@pytest.fixture
def patient(monkeypatch) -> None:
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def test_hub_ids_revisions_shards_and_the_cache(repos, tmp_path):
    good = [("we/one", None), ("we/one", "v2"), ("we/two", None)]
    bad = {("we/one", "v3"): "no revision 'v3'", ("we/none", None): "knows no such", ("we/old", None): "no model.safet"}
    with serve(repos) as server:
        online = load(*good, *bad, home=tmp_path, endpoint=server.endpoint)
        assert [family for family, _ in online[:3]] == ["qwen2_vl", "qwen2_5_vl", "qwen2_vl"]
        for (said, _), says in zip(online[3:], bad.values(), strict=True):
            assert says in said and "\n" not in said
        assert not any(".bin" in asked for asked in server.asked)
        server.asked.clear()
        offline = load(*good, ("we/none", None), home=tmp_path, endpoint=server.endpoint, TRANSFORMERS_OFFLINE="1")
        assert server.asked == [], "offline means that nobody is asked"
    without_network = load(*good, ("we/none", None), home=tmp_path, endpoint="http://127.0.0.1:9")
    for loaded, reason in ((offline, "OFFLINE is set"), (without_network, "the hub cannot be reached")):
        assert [family for family, _ in loaded[:3]] == ["qwen2_vl", "qwen2_5_vl", "qwen2_vl"]
        said, seconds = loaded[3]
        assert reason in said and "hf download we/none" in said and seconds < 5


def test_a_hub_that_answers_late_is_reached(patient, monkeypatch):
    with serve({}, delay=7) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        began = time.perf_counter()
        assert hub.unreachable() is None
        assert time.perf_counter() - began < 5


def test_an_absent_hub_is_known_at_once(patient, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    began = time.perf_counter()
    assert "refused" in (hub.unreachable() or "")
    assert time.perf_counter() - began < 2


def test_a_hub_that_swallows_connections_is_given_up(patient, monkeypatch):
    """As behind a firewall: a queue of connections that is full drops what comes."""
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{full.getsockname()[1]}")
        monkeypatch.setattr(hub, "PATIENCE", 0.5)
        assert "within 0.5 s; if the network is slow, set HF_HUB_ETAG_TIMEOUT" in (hub.unreachable() or "")
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
        assert "within 1 s" in (hub.unreachable() or "")


def test_a_folder_is_never_looked_for_on_the_hub(checkpoint, monkeypatch):
    monkeypatch.setattr(hub, "unreachable", lambda: pytest.fail("a folder needs no network"))
    assert Files.of(str(checkpoint("qwen2_vl"))).local


def test_a_home_folder_may_be_written_with_a_tilde(checkpoint, monkeypatch):
    folder = checkpoint("qwen2_vl")
    monkeypatch.setenv("HOME", str(folder.parent))
    assert Files.of(f"~/{folder.name}").name == str(folder)
    with pytest.raises(UserError, match="does not exist"):
        Files.of("~/nothing")
