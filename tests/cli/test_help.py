"""--help: quick, and readable in any width."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import typer

from infinipot_v import cli

COMMANDS = typer.main.get_command(cli.app).commands


def test_help_imports_nothing_heavy():
    heavy = "('torch', 'transformers', 'av', 'numpy', 'rich', 'huggingface_hub', 'PIL')"
    script = f"import sys, infinipot_v.cli; sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_is_quick(process):
    def once() -> float:
        began = time.perf_counter()
        assert process("ask", "--help").returncode == 0
        return time.perf_counter() - began

    def python() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"])
        return time.perf_counter() - began

    # 0.5 s on a quiet machine; a busy one starts a bare Python slowly as well.
    assert min(once() for _ in range(4)) < max(0.5, 12 * min(python() for _ in range(4)))


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_and_leaves_nothing_out(run, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run(*([name] if name else []), "--help")
    assert (code, err) == (0, "")
    assert "…" not in out and "<" not in out and "\x1b" not in out
    assert max(map(len, out.splitlines())) <= columns
    words = " ".join(out.split())
    for param in COMMANDS[name].params if name else ():
        if param.param_type_name == "option":
            assert any(option in words for option in (*param.opts, *param.secondary_opts)), param.name
        assert " ".join(param.help.split()) in words, param.name


def test_options_stand_in_panels(run):
    out = run("ask", "--help")[1]
    panels = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert panels == ["Arguments:", "Video:", "Memory:", "Answer:", "Model:", "Other:", "Examples:"]


def test_no_command_is_help(run):
    assert run() == run("--help") and run()[0] == 0


def test_the_version(run):
    assert run("--version")[1].startswith("infinipot-v ")
