"""`infinipot-v doctor`: what is here, whether a checkpoint runs, and one line with exit code 2 where it does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from infinipot_v import Budget, Session, load_model


def test_a_machine_alone(run):
    code, out, err = run("doctor", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["checkpoint"] is None and found["runs"] is None
    assert found["machine"]["versions"]["torch"] == torch.__version__
    assert found["machine"]["devices"][0]["kind"] == "cpu"
    code, out, err = run("doctor")
    assert code == 0 and torch.__version__ in out and "sdpa" in out and "cpu" in out


def test_a_checkpoint_that_runs(run, checkpoint):
    folder = checkpoint("qwen2_5_vl")
    code, out, err = run("doctor", "--model", folder, "--budget", 640, "--device", "cpu", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["runs"] is True and found["checkpoint"]["problems"] == []
    session = Session(load_model(folder, device="cpu"), Budget(tokens=640))
    assert found["checkpoint"]["cap_bytes"] == session.report().cap_bytes
    code, out, err = run("doctor", "--model", folder, "--device", "cpu")
    assert (code, err) == (0, "") and "it runs" in out and "1 GiB holds" in out and "qwen2_5_vl" in out


@pytest.fixture
def large(checkpoint, tmp_path) -> Path:
    """The shapes of a model of 7B: config.json, tokenizer, and the headers of weights whose numbers are not there."""
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "large"))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_hidden_layers": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "torch_dtype": "bfloat16",
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    config["vision_config"] |= {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "mlp_ratio": 4, "num_heads": 16}
    (folder / "config.json").write_text(json.dumps(config))
    numbers = 8_291_375_616
    header = {"w": {"dtype": "BF16", "shape": [numbers], "data_offsets": [0, 2 * numbers]}}
    content = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        file.truncate(8 + len(content) + 2 * numbers)
    return folder


def test_a_large_checkpoint_is_looked_at_without_loading_it(run, large, monkeypatch):
    monkeypatch.setattr("infinipot_v.survey.machine.memory_free", lambda: 40 * 10**9)
    code, out, _ = run("doctor", "--model", large, "--device", "cpu", "--json")
    found = json.loads(out)["checkpoint"]
    assert code == 0
    assert found["weights_bytes"] == 2 * 8_291_375_616
    assert found["token_bytes"] == 57344 and found["step_tokens"] == 120
    assert found["cap_bytes"] == 2 * 28 * 4 * 128 * 2 * (6144 + 512 + 36) + 10 * 28 * 4 * 6144 + 512 * 4 * (256 + 10)


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_checkpoint_that_does_not_fit_is_one_line_and_exit_code_2(run, large, monkeypatch, as_json):
    monkeypatch.setattr("infinipot_v.survey.machine.memory_free", lambda: 10 * 10**9)
    code, out, err = run("doctor", "--model", large, "--device", "cpu", *as_json)
    assert code == 2 and len(err.splitlines()) == 1 and "10.0 GB are free on cpu" in err
    assert "it does not run" in out or json.loads(out)["runs"] is False


def test_what_is_missing_is_one_line_and_exit_code_2(run, checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))
    (folder / "model.safetensors").unlink()
    code, _, err = run("doctor", "--model", folder)
    assert code == 2 and len(err.splitlines()) == 1 and "has no model.safetensors" in err


def test_bad_input_is_one_line_exit_code_2_and_nothing_else(run, checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    cases = {
        "text-only": ["--model", checkpoint("llama")],
        "has no config.json": ["--model", tmp_path / "empty"],
        "does not exist": ["--model", tmp_path / "nothing"],
        "choose auto": ["--model", checkpoint("qwen2_vl"), "--device", "cuda:7"],
        "512MiB": ["--model", checkpoint("qwen2_vl"), "--budget", "much"],
        "does not hold one token": ["--model", checkpoint("qwen2_vl"), "--budget", "1KiB"],
        "bfloat16": ["--model", checkpoint("qwen2_vl"), "--dtype", "float8"],
    }
    for says, arguments in cases.items():
        code, out, err = run("doctor", *arguments, "--json")
        assert (code, out, len(err.splitlines())) == (2, "", 1) and says in err, (says, code, out, err)
