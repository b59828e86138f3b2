"""A run in parts, and a run that was killed: the same summary as one that nobody disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infinipot_v.evaluate.contenders import contenders
from infinipot_v.evaluate.field.report import summary
from infinipot_v.evaluate.field.running import run_logged, settings_of
from infinipot_v.evaluate.field.shards import Shard, merge, parts_in
from infinipot_v.evaluate.records import RecordLog, read_log
from infinipot_v.types import UserError

TAKING_PART = contenders(["infinipot-v", "last-frames"], budgets=["64"])


def told(benchmark, records, left, settings) -> dict[str, object]:
    return {k: v for k, v in summary(type(benchmark), records, left, settings).items() if k != "speed"}


def test_parts_together_are_the_serial_run(opened, pocket, tmp_path):
    benchmark = opened("mlvu")
    (benchmark.data / "video" / "1_plotQA").rename(benchmark.data / "away")
    try:
        benchmark = opened("mlvu")
        settings = settings_of(benchmark, pocket)
        serial = RecordLog(tmp_path / "serial.jsonl", settings)
        run_logged(benchmark, pocket, TAKING_PART, serial)
        for number in (3, 1, 2):
            shard = Shard(number, 3)
            own = opened("mlvu")
            run_logged(own, pocket, TAKING_PART, RecordLog(shard.log(tmp_path, "mlvu"), settings), shard)
    finally:
        (benchmark.data / "away").rename(benchmark.data / "video" / "1_plotQA")
    merged = merge(parts_in(tmp_path)["mlvu"])
    whole = told(benchmark, serial.records(), serial.left, serial.settings)
    assert told(benchmark, merged.records, merged.left, merged.settings) == whole
    assert whole["watched"]["videos"] == 6 and whole["left_out"][0]["questions"] == 2


def test_parts_that_are_not_of_one_run_or_not_done_are_refused(opened, pocket, tmp_path):
    benchmark = opened("longvideobench")
    settings = settings_of(benchmark, pocket)
    for number in (1, 2):
        shard = Shard(number, 2)
        run_logged(benchmark, pocket, TAKING_PART, RecordLog(shard.log(tmp_path, benchmark.name), settings), shard)
    first, second = parts_in(tmp_path)[benchmark.name]
    assert merge([first, second]).settings == settings
    lines = second.read_text().splitlines()
    second.write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(UserError, match="holds 1 of 2 runs"):
        merge([first, second])
    other = json.loads(lines[0])
    other["settings"]["model"] = "another"
    second.write_text("\n".join([json.dumps(other), *lines[1:]]) + "\n")
    with pytest.raises(UserError, match="differ in model"):
        merge([first, second])
    second.unlink()
    with pytest.raises(UserError, match="run --shard 2/2"):
        parts_in(tmp_path)
    with pytest.raises(UserError, match="no parts in"):
        parts_in(tmp_path / "elsewhere")


@pytest.mark.parametrize("text", ["0/2", "3/2", "one", "1/", "1/0", "-1/2"])
def test_there_is_no_such_part(text):
    with pytest.raises(UserError, match="shard"):
        Shard.parse(text)


def test_every_video_is_of_one_part():
    for of in range(1, 6):
        for place in range(20):
            assert sum(Shard(number, of).takes(place) for number in range(1, of + 1)) == 1


def started(data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infinipot_v", "eval", "mlvu", "--data", str(data), "--model", "pocket"]
    command += ["--policies", "infinipot-v,last-frames", "--budgets", "64", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_kill_nine_in_mid_run_changes_nothing(mini, tmp_path):
    data, whole, killed = mini("mlvu"), tmp_path / "whole", tmp_path / "killed"
    undisturbed = started(data, whole)
    log = killed / "mlvu.jsonl"
    for count in (4, 12):
        process = started(data, killed)
        while not (log.exists() and log.read_bytes().count(b"\n") >= count):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (killed / "mlvu.json").exists()
    assert started(data, killed).wait() == 0 == undisturbed.wait()
    results = [json.loads((out / "mlvu.json").read_text()) for out in (killed, whole)]
    for result in results:
        del result["speed"]
    assert results[0] == results[1] and results[0]["watched"]["questions"] == 14
    assert read_log(log).videos == 7
