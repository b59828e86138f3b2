"""What can go wrong, what is said then, and the exit code: one line on standard error, nothing on standard output.

A command is what a user types. Names in braces are files: see `Files`. Rows of `SHELL` need a shell and a process.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.broken import BREAK, broken
from tests.videos import write_audio


class Row(NamedTuple):
    name: str
    command: str
    says: str
    code: int = 2


ASK = "ask {clip} What? --model {model}"

ROWS = [
    # The command line
    Row("unknown sub-command", "aks {clip} What?", "did you mean 'ask'"),
    Row("unknown option", f"{ASK} --bugdet 64", "no such option --bugdet, did you mean --budget"),
    Row("unknown short option", f"{ASK} -z", "no such option -z"),
    Row("option without its value", f"{ASK} --fps", "'--fps' requires an argument"),
    Row("nothing to watch", "ask", "VIDEO is missing: a video file"),
    Row("no question", "ask {clip} --model {model}", "no question was given"),
    Row("empty question", "ask {clip} '  ' --model {model}", "a question is empty"),
    Row("too many arguments", "compare full random uniform", "unexpected extra argument"),
    Row("no model", "ask {clip} What?", "give --model FOLDER or a hub id. These fit"),
    # Videos
    Row("no such file", "ask nothing.mp4 What? --model {model}", "no such file: nothing.mp4; check the path"),
    Row("folder without images", "ask {empty_folder} What? --model {model}", "{empty_folder}"),
    Row("empty file", "ask {empty} What? --model {model}", "is empty (0 bytes): copy or download it again"),
    Row("text file", "ask {words} What? --model {model}", "is not a video"),
    Row("sound only", "ask {tone} What? --model {model}", "has no video stream"),
    Row("missing second video", f"{ASK} --then nothing.mp4", "no such file: nothing.mp4"),
    Row("file that may not be read", "ask {locked} What? --model {model}", "permission"),
    Row("fps of zero", f"{ASK} --fps 0", "give a number above 0"),
    Row("fps of words", f"{ASK} --fps fast", "'--fps'"),
    Row("start behind the end", f"{ASK} --start 3 --end 1", "nothing would be watched"),
    Row("start behind the video", f"{ASK} --start 99", "start earlier"),
    Row("no tokens a step", f"{ASK} --tokens-per-step 0", "tokens_per_step must be at least 1"),
    # Questions on the way
    Row("time without a question", f"{ASK} --ask-at 2", "write seconds and a question"),
    Row("time that is none", f"{ASK} --ask-at soon Now?", "cannot read --ask-at 'soon Now?'"),
    Row("time behind the end", f"{ASK} --ask-at 95 Now?", "behind the end of the stream (4.0 s)"),
    Row("time before the start", f"{ASK} --start 2 --ask-at 1 Now?", "before the start (2 s)"),
    # Memory
    Row("budget below one step", f"{ASK} --budget 3", "below one step"),
    Row("budget of words", f"{ASK} --budget many", "write tokens (6144) or bytes (512MiB, 2GB)"),
    Row("budget in too few bytes", f"{ASK} --budget 1KiB", "needs at least"),
    Row("budget in parts of a token", f"{ASK} --budget 64.5", "tokens are whole"),
    Row("budget larger than the machine", f"{ASK} --budget 500000GB", "cannot be allocated here: lower the budget"),
    Row("keep out of range", f"{ASK} --keep 1.5", "it is a share"),
    Row("no room", f"{ASK} --room 0", "the default is 512"),
    Row("question longer than the room", "ask {clip} '{long}' --model {model} --room 50", "--room"),
    Row("unknown policy", f"{ASK} --policy infinipot-w", "did you mean 'infinipot-v'"),
    Row("unknown policy option", f"{ASK} -o alhpa=1", "did you mean 'alpha'"),
    Row("policy option without a value", f"{ASK} -o alpha", "write NAME=VALUE"),
    Row("policy option out of range", f"{ASK} -o alpha=2", "at least 0 and at most 1"),
    Row("policy option of another policy", f"{ASK} --policy uniform -o alpha=1", "it takes none"),
    Row("unknown positions", f"{ASK} --positions mine", "choose original, compact, hf"),
    Row("no steps together", f"{ASK} --block 0", "block from 1 to 4096"),
    # Answers
    Row("no answer tokens", f"{ASK} --max-new-tokens 0", "give a whole number from 1 on"),
    Row("impossible temperature", f"{ASK} --temperature -1", "0, or 0.01 to 100"),
    Row("impossible top-p", f"{ASK} --top-p 2", "at most 1"),
    Row("empty stop string", f"{ASK} --stop ''", "leave it out"),
    # Models
    Row("no such folder", "ask {clip} What? --model ./none", "./none does not exist: give a Hugging Face"),
    Row("file instead of a folder", "ask {clip} What? --model {clip}", "is a file"),
    Row("folder without a checkpoint", "ask {clip} What? --model {no_config}", "has no config.json"),
    Row("impossible hub id", "ask {clip} What? --model 'a b'", "give a folder, or OWNER/NAME"),
    Row("nearly pocket", "ask {clip} What? --model pocket!", "did you mean 'pocket'"),
    Row("hub id, offline", "ask {clip} What? --model nobody/none", "run 'hf download nobody/none', or give a folder"),
    Row("revision of a folder", f"{ASK} --revision v2", "has one version: leave it out"),
    Row("text-only checkpoint", "ask {clip} What? --model {text_only}", "needs a vision-language model"),
    Row("unsupported architecture", "ask {clip} What? --model {other_family}", "nearest that is: qwen2_5_vl"),
    Row(
        "only pickled weights", "ask {clip} What? --model {pickled}", "a pickle (pytorch_model.bin), which can run code"
    ),
    Row("pickle among the shards", "ask {clip} What? --model {pickled_shard}", "(model-00002-of-00002.bin)"),
    Row("pickle named in config.json", "ask {clip} What? --model {pickle_by_name}", "a pickle (adapter_model.bin)"),
    Row("adapter, pickled", "ask {clip} What? --model {pickled_adapter}", "merge it into its model first"),
    Row("checkpoint that brings code", "ask {clip} What? --model {foreign_code}", "the tokenizer of"),
    Row("no weights", "ask {clip} What? --model {no_weights}", "has no model.safetensors: download the checkpoint"),
    Row("torn weights", "ask {clip} What? --model {torn_weights}", "the weights of"),
    Row("missing shard", "ask {clip} What? --model {lost_shard}", "lacks 1 of its 2 files of weights (model-00002-of"),
    Row("torn shard", "ask {clip} What? --model {torn_shard}", "the weights of"),
    Row("missing tensors", "ask {clip} What? --model {lost_layer}", "tensors are missing"),
    Row("torn config.json", "ask {clip} What? --model {torn_config}", "config.json of"),
    Row("torn tokenizer", "ask {clip} What? --model {torn_tokenizer}", "the tokenizer of"),
    Row("no preprocessor", "ask {clip} What? --model {no_preprocessor}", "preprocessor_config.json: download"),
    Row("torn generation config", "ask {clip} What? --model {torn_generation_config}", "generation_config.json of"),
    Row("wrong end token", "ask {clip} What? --model {wrong_end_token}", "eos_token_id is 'the end'"),
    Row("unknown quantisation", "ask {clip} What? --model {unknown_quantisation}", "did you mean 'bitsandbytes_4bit'"),
    Row("bitsandbytes not installed", "ask {clip} What? --model {needs_bitsandbytes}", "pip install"),
    Row("torchao not installed", "ask {clip} What? --model {needs_torchao}", "pip install torchao"),
    Row("quantisation without a value", f"{ASK} --quantization load_in_4bit", "as in load_in_4bit=true"),
    Row("unknown dtype", f"{ASK} --dtype float61", "did you mean 'float16'"),
    Row("unknown device", f"{ASK} --device quantum", "choose auto, cpu, cuda or cuda:0"),
    Row("unknown attention", f"{ASK} --attn-implementation spda", "did you mean 'sdpa'"),
    Row("transformers' paged attention", f"{ASK} --attn-implementation 'paged|sdpa'", "cannot be used here"),
    # Configuration files
    Row("no such configuration", f"{ASK} --config none.toml", "no configuration file none.toml: check the path"),
    Row("folder as configuration", f"{ASK} --config .", "cannot be read"),
    Row("configuration that is no TOML", f"{ASK} --config {{words}}", "is not TOML"),
    Row("unknown key", f"{ASK} --config {{typo_toml}}", "unknown key 'bugdet', did you mean 'budget'"),
    Row("key of another command", f"{ASK} --config {{seeds_toml}}", "demo and eval have: put it into [demo]"),
    Row("unknown section", f"{ASK} --config {{section_toml}}", "unknown key 'asks', did you mean 'ask'"),
    Row("table instead of a value", f"{ASK} --config {{table_toml}}", "budget takes one value"),
    Row("word instead of a switch", f"{ASK} --config {{switch_toml}}", "must be true or false"),
    Row("bad value in a configuration", f"{ASK} --config {{fps_toml}}", "'--fps'"),
    # eval, compare, demo
    Row("unknown benchmark", "eval pockt", "did you mean 'pocket'"),
    Row("one seed", "eval pocket --seeds 5", "write A:B"),
    Row("no seeds", "eval pocket --seeds 5:5", "A below B"),
    Row("stream too short", "eval pocket --steps 2", "give at least 4"),
    Row("share of nothing", "eval pocket --budgets 1/0", "as in 1/4,1/16"),
    Row("share above all", "eval pocket --budgets 2", "write 1/16, or 0.5"),
    Row("unknown contender", "eval pocket --policies unifrom", "did you mean 'uniform'"),
    Row("file where the folder goes", "eval pocket --out {empty}", "cannot read or write: {empty}: File exists"),
    Row("records that are none", "compare full random --records {words}", "is damaged"),
    Row("no records", "compare full random", "run infinipot-v eval first"),
    Row("no folder for the picture", "demo --picture no/such/folder.png", "no folder no/such: make it"),
    Row("nobody takes part", "demo --policies ,", "nobody takes part"),
    Row("folder that may not be written to", "demo --picture {locked_folder}/x.png", "may not be written to"),
]

SHELL = [
    Row("disk full", "infinipot-v policies > /dev/full", "No space left on device; free some space"),
    Row("file too large", "ulimit -f 0; infinipot-v policies --json > {scratch}/x", "raise the limit (ulimit -f)"),
    Row("closed pipe (| head -1)", "set -o pipefail; infinipot-v policies | true", "nobody reads it", 141),
    Row("Ctrl-C", "timeout --preserve-status -s INT 5 infinipot-v eval pocket --out {scratch}", "interrupted", 130),
    Row("40 columns", "COLUMNS=40 infinipot-v ask {clip} What? --polcy full", "did you mean --policy"),
    Row("the hub out of reach", "HF_HUB_OFFLINE= HF_ENDPOINT=http://127.0.0.1:9 infinipot-v ask {clip} What? "
        "--model nobody/none", "the hub cannot be reached (["),
]  # fmt: skip

TOML = {
    "typo": "bugdet = 64",
    "seeds": 'seeds = "3:4"',
    "section": "[asks]\nfps = 1",
    "table": "[budget]\ntokens = 64",
    "switch": 'json = "yes"',
    "fps": 'fps = "fast"',
}


class Files(dict[str, str]):
    """The files that a command names, made when they are asked for."""

    def __init__(self, folder: Path, clip: Path, model: Path, text_only: Path) -> None:
        super().__init__(clip=str(clip), model=str(model), text_only=str(text_only), long="why " * 60)
        self.folder = folder

    def __missing__(self, name: str) -> str:
        path = self.folder / name
        if name in BREAK:
            broken(name, Path(self["model"]), self.folder)
        elif name.endswith("_toml"):
            path.write_text(TOML[name.removesuffix("_toml")])
        elif name in ("empty_folder", "scratch"):
            path.mkdir(exist_ok=True)
        elif name == "tone":
            path = write_audio(path.with_suffix(".mp4"))
        else:
            path.write_text({"empty": "", "words": "this is not a video " * 50}[name])
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory, clip, checkpoint) -> Files:
    return Files(tmp_path_factory.mktemp("bad"), clip, checkpoint("qwen2_vl"), checkpoint("llama"))


@pytest.fixture
def locked(files) -> Iterator[Files]:
    """`locked` and `locked_folder` may not be read; this process lays down the powers of root, if it has them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copy(files["clip"], folder / "locked")
    (folder / "locked").chmod(0)
    (folder / "locked_folder").mkdir(mode=0o555)
    user = os.geteuid()
    if user == 0:
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip("root may read everything, and cannot be laid down here")
    yield Files(folder, *(Path(files[name]) for name in ("clip", "model", "text_only")))
    os.seteuid(user)
    shutil.rmtree(folder)


def one_line(row: Row, files: Files, code: int, out: str, err: str) -> None:
    assert (code, out) == (row.code, ""), err
    assert len(err.splitlines()) == 1, err
    assert row.says.format_map(files).lower() in err.lower()
    assert "Traceback" not in err and "\x1b" not in err


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input(row, run, files, request, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whoever asks for leave to run code gets it
    if "{needs_" in row.command and importlib.util.find_spec(row.name.split()[0]):
        pytest.skip("it is installed here")
    if "{locked" in row.command:
        (files := request.getfixturevalue("locked")).update(locked=f"{files.folder}/locked")
        files["locked_folder"] = f"{files.folder}/locked_folder"
    one_line(row, files, *run(*shlex.split(row.command.format_map(files))))
    assert os.listdir() == [], "something was left behind"
    assert not list(files.folder.glob("*/opened")), "a pickle was opened, or foreign code was run"


@pytest.mark.parametrize("row", SHELL, ids=lambda row: row.name)
def test_bad_state(row, process, files):
    done = process(shell=f"cd {files['scratch']}; {row.command.format_map(files)}")
    one_line(row, files, done.returncode, done.stdout, done.stderr)


def test_the_malicious_pickle_is_one(files):
    """The control: opened by torch as in the old days, it makes its file."""
    import torch

    folder = Path(files["pickled"])
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert (folder / "opened").exists()
    (folder / "opened").unlink()
