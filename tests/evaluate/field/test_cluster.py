"""A run over many workers on a real Ray cluster: the serial run's summary, also when workers are killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infinipot_v.evaluate.contenders import contenders
from infinipot_v.evaluate.field import benchmark_class
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.cluster import run_on_ray
from infinipot_v.evaluate.field.cluster.crew import size_of
from infinipot_v.evaluate.field.recipes import recipe_of
from infinipot_v.evaluate.field.report import summary
from infinipot_v.evaluate.field.running import run_logged, settings_of
from infinipot_v.evaluate.field.shards import Shard
from infinipot_v.evaluate.records import RecordLog, read_log
from infinipot_v.models.base import Model
from infinipot_v.models.load import load_model
from infinipot_v.types import UserError
from tests.videos import write_video

psutil = pytest.importorskip("psutil")
pytest.importorskip("ray")

TAKING_PART = contenders(["infinipot-v", "last-frames"], budgets=["64"])
POCKET = partial(load_model, "pocket", device="cpu")
DEADLY = (64, 64)
"""Width and height of the video that kills whoever watches it."""


@pytest.fixture(scope="module", autouse=True)
def without_tokens() -> Iterator[None]:
    """Clusters of this machine's own, which ask nobody who they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two CPUs that others have started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", f"--object-store-memory={100 * 2**20}"]
    command += ["--disable-usage-stats"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "--block" in line:
            break
    else:
        pytest.fail("".join(said))
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield f"127.0.0.1:{port}"
    theirs = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.wait(30)
    process.stdout.close()
    gone(theirs)


@pytest.fixture
def data(mini: Callable[[str], Path], tmp_path: Path) -> Path:
    """Seven videos of which something may be broken."""
    return Path(shutil.copytree(mini("mlvu"), tmp_path / "data"))


def gone(processes: list[Any]) -> None:
    """Wait until they have ended."""
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []


def mlvu(folder: Path, **options: Any) -> FieldBenchmark:
    return benchmark_class("mlvu")(folder, recipe_of(None, "mlvu"), **options)


def told(log: RecordLog) -> dict[str, Any]:
    return {k: v for k, v in summary(benchmark_class("mlvu"), log.records(), log.left, log.settings).items()
            if k != "speed"}  # fmt: skip


def serial(folder: Path, pocket: Model, path: Path, **options: Any) -> RecordLog:
    benchmark = mlvu(folder, **options)
    log = RecordLog(path, settings_of(benchmark, pocket))
    run_logged(benchmark, pocket, TAKING_PART, log)
    return log


class Watching:
    """The pocket model, to which something happens when it looks."""

    def __init__(self, happens: Callable[[Any], None]) -> None:
        self._model, self._happens = POCKET(), happens

    def encode(self, frames: Any, *more: Any) -> Any:
        self._happens(frames)
        return self._model.encode(frames, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def held(folder: Path, frames: Any) -> None:
    """Whoever is the first of all to look says who it is, and waits for its end."""
    try:
        with (folder / "writing").open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return
    (folder / "writing").rename(folder / "pid")
    (folder / "writing").touch()
    time.sleep(60)


def deadly(frames: Any) -> None:
    """One video is the end of whoever looks."""
    if frames[0].pixels.shape[:2] == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)


def fails() -> Model:
    raise RuntimeError("something of its own")


def kill_who_says(path: Path) -> None:
    """Kill the process that names itself there."""
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_cluster_that_it_starts_gives_the_serial_summary_and_leaves_no_process(data, pocket, tmp_path):
    (data / "video" / "needle" / "needle_1.mp4").write_bytes(b"no video at all")
    (data / "video" / "3_ego" / "ego_1.mp4").unlink()
    whole, seen, began = serial(data, pocket, tmp_path / "serial.jsonl"), [], set[Any]()

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        began.update(psutil.Process().children(recursive=True))

    before = signal.getsignal(signal.SIGTERM)
    log = run_on_ray(
        mlvu(data), POCKET, TAKING_PART, partial(RecordLog, tmp_path / "ray.jsonl"), workers=2, progress=progress
    )
    assert told(log) == told(whole) == told(RecordLog(tmp_path / "ray.jsonl", whole.settings))
    assert log.settings == whole.settings
    assert told(log)["watched"]["videos"] == 5 and read_log(log.path).videos == 6
    assert sorted(left.tried for left in log.left) == [False, True]
    assert [done for done, _ in seen] == list(range(1, 11)) and seen[-1] == (10, 10)
    assert began and signal.getsignal(signal.SIGTERM) == before
    gone(list(began))


def test_a_worker_is_killed_and_its_video_is_done_again(cluster, data, pocket, tmp_path):
    whole, notes = serial(data, pocket, tmp_path / "serial.jsonl"), list[str]()
    killer = threading.Thread(target=kill_who_says, args=[tmp_path / "pid"])
    killer.start()
    log = run_on_ray(
        mlvu(data), partial(Watching, partial(held, tmp_path)), TAKING_PART, partial(RecordLog, tmp_path / "ray.jsonl"),
        address=cluster, workers=2, note=notes.append,
    )  # fmt: skip
    killer.join()
    assert told(log) == told(whole)
    assert len(notes) == 1 and notes[0].endswith(": its worker died (its process ended); it is done again")
    assert notes[0].partition(":")[0] in {record.item for record in log.records()}
    assert len(log.path.read_bytes().splitlines()) == len(whole.path.read_bytes().splitlines())  # nothing came twice


def test_a_video_that_kills_three_workers_ends_the_run_and_the_rest_is_kept(cluster, data, tmp_path):
    write_video(data / "video" / "needle" / "needle_1.mp4", frames=24, fps=2, size=DEADLY)
    notes = list[str]()
    with pytest.raises(UserError, match="video/needle/needle_1.mp4: 3 workers in a row have died of it"):
        run_on_ray(
            mlvu(data, limit=2), partial(Watching, deadly), TAKING_PART, partial(RecordLog, tmp_path / "r.jsonl"),
            address=cluster, workers=2, note=notes.append,
        )  # fmt: skip
    assert len(notes) == 2
    assert {record.item for record in read_log(tmp_path / "r.jsonl").records} == {"video/1_plotQA/plotQA_1.mp4"}


def test_a_run_goes_on_from_its_log_part_by_part_and_strict_stops(cluster, data, pocket, tmp_path):
    path, shard, seen = tmp_path / "r.jsonl", Shard(1, 2), list[tuple[int, int]]()
    whole = serial(data, pocket, tmp_path / "serial.jsonl")

    def interrupted(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_ray(
            mlvu(data), POCKET, TAKING_PART, partial(RecordLog, path), address=cluster, shard=shard,
            progress=interrupted,
        )  # fmt: skip
    assert seen[-1] == (3, 8) and len(read_log(path).records) == 6
    (data / "video" / "needle" / "needle_1.mp4").write_bytes(b"no video at all")
    with pytest.raises(UserError, match="needle_1.mp4: .*without --strict it is left out"):
        run_on_ray(mlvu(data, strict=True), POCKET, TAKING_PART, partial(RecordLog, path), address=cluster)
    kept = {(record.unit, record.index): record.reply for record in read_log(path).records}
    assert len(kept) >= 6
    assert kept.items() <= {(record.unit, record.index): record.reply for record in whole.records()}.items()


def test_what_a_worker_met_comes_back_as_it_was(cluster, data, tmp_path):
    def run(make: Callable[[], Model]) -> None:
        run_on_ray(mlvu(data), make, TAKING_PART, partial(RecordLog, tmp_path / "r.jsonl"), address=cluster, workers=1)

    with pytest.raises(UserError, match="^[^\n]*nowhere[^\n]*$"):
        run(partial(load_model, tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="(?s)in fails.*something of its own"):
        run(fails)
    assert not (tmp_path / "r.jsonl").exists()


def test_a_worker_that_reads_other_records_is_refused(cluster, data, tmp_path):
    """They change between the driver's reading and the worker's."""
    benchmark = mlvu(data)
    assert len(benchmark.items()) == 7
    path = data / "json" / "1_plotQA.json"
    path.write_text(path.read_text().replace("plotQA 0?", "another?"))
    with pytest.raises(UserError, match="every machine must have the same folder"):
        run_on_ray(benchmark, POCKET, TAKING_PART, partial(RecordLog, tmp_path / "r.jsonl"), address=cluster, workers=1)
    assert read_log(tmp_path / "r.jsonl").records == ()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no.such.host.invalid:6379", "nonsense"])
def test_where_there_is_no_cluster(address, data, tmp_path):
    with pytest.raises(UserError, match=f"^no Ray cluster can be reached at {address} .*start one with ray start"):
        run_on_ray(mlvu(data), POCKET, TAKING_PART, partial(RecordLog, tmp_path / "r.jsonl"), address=address)
    assert not (tmp_path / "r.jsonl").exists()


def test_without_ray(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'infinipot-v\[ray\]'"):
        run_on_ray(mlvu(data), POCKET, TAKING_PART, partial(RecordLog, tmp_path / "r.jsonl"))
    with pytest.raises(UserError, match="0 workers"):
        run_on_ray(mlvu(data), POCKET, TAKING_PART, partial(RecordLog, tmp_path / "r.jsonl"), workers=0)


def test_how_many_workers_there_are():
    gpu = {"num_gpus": 1, "num_cpus": 0}
    assert size_of({"GPU": 8.0, "CPU": 64.0}, None, 100) == (8, gpu)
    assert size_of({"GPU": 8.0, "CPU": 64.0}, None, 3) == (3, gpu)
    assert size_of({"GPU": 8.0, "CPU": 64.0}, 2, 100) == (2, gpu)
    assert size_of({"CPU": 16.0}, None, 100) == (8, {"num_cpus": 1.0})
    assert size_of({"CPU": 2.0}, 2, 100) == (2, {"num_cpus": 1.0})
    assert size_of({"CPU": 2.0}, 3, 100) == (3, {"num_cpus": 0.66})
    assert size_of({"CPU": 1.0}, None, 0) == (1, {"num_cpus": 1.0})
    assert size_of({}, None, 9) == (1, {"num_cpus": 1.0})


def test_importing_it_does_not_import_ray():
    script = "import sys, infinipot_v.evaluate.field.cluster; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": "src"}).returncode == 0
