"""What is said of a machine is true of this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from infinipot_v import UserError, __version__
from infinipot_v.survey import machine


def test_this_machine():
    found = machine.look()
    assert found.versions["infinipot-v"] == __version__ and found.versions["torch"] == torch.__version__
    assert found.devices[0].kind == "cpu" and found.cores >= 1
    assert found.attention["sdpa"] and found.attention["eager"]
    assert sum(device.kind.startswith("cuda") for device in found.devices) == torch.cuda.device_count()


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="needs Linux")
def test_memory_is_that_of_the_system():
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(lines["MemTotal"].split()[0]) * 1024
    assert 0 < machine.memory_free() <= machine.memory_limit() <= total
    assert machine.memory_limit() > 0.9 * total or Path("/sys/fs/cgroup/memory.max").exists()


def test_a_container_counts(monkeypatch):
    limits = {"/sys/fs/cgroup/memory.max": 1000, "/sys/fs/cgroup/memory.current": 400}
    monkeypatch.setattr(machine, "_number", limits.get)
    assert (machine.memory_limit(), machine.memory_free()) == (1000, 600)
    monkeypatch.setattr(machine, "_number", lambda path: None)
    assert machine.memory_limit() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_devices_by_name():
    here = machine.Machine({}, 2, (machine.Device("cpu", "", 1, 1), machine.Device("cuda:0", "", 1, 1)), {}, {})
    assert here.device("auto").kind == here.device("cuda").kind == "cuda:0"
    assert here.device("cpu").kind == "cpu"
    with pytest.raises(UserError, match="choose auto, cpu, cuda:0"):
        here.device("cuda:1")
