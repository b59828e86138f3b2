"""Defaults and names of the command line are those of the classes behind them; failures say what helps."""

from __future__ import annotations

import dataclasses
import errno
import inspect

import pytest
import torch

from infinipot_v import Budget, Decoding, Session, load_model, open_source
from infinipot_v.cli import options
from infinipot_v.cli.building import _setting, decoding_of, limits_of
from infinipot_v.cli.eval import POLICIES, contender_names
from infinipot_v.cli.failures import failure
from infinipot_v.evaluate.contenders import contenders
from infinipot_v.models.load import DTYPES
from infinipot_v.moment import POSITIONS


def defaults(function: object) -> dict[str, object]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items() if p.default is not p.empty}


@pytest.mark.parametrize(
    ("group", "behind", "translated"),
    [
        (options.Footage, {**defaults(open_source), **defaults(Session)}, set()),
        (options.Memory, {**defaults(Budget), **defaults(Session)}, {"budget", "text_tokens"}),
        (options.Answers, {**defaults(Decoding), **defaults(Session)}, {"stop", "temperature", "top_p", "top_k"}),
        (options.Checkpoint, defaults(load_model), set()),
    ],
)
def test_defaults_are_those_of_the_classes(group, behind, translated):
    own = {field.name: field.default for field in dataclasses.fields(group)}
    shared = (own.keys() & behind.keys()) - translated
    assert len(shared) >= 3 and translated <= own.keys()
    assert {name: own[name] for name in shared} == {name: behind[name] for name in shared}


def test_the_default_budget_is_the_sessions(checkpoint):
    model = load_model(checkpoint("qwen2_vl"), device="cpu")
    assert Session(model).cache.tokens == limits_of(options.Memory(), options.Footage())[0].tokens
    assert decoding_of(options.Answers(), model) == Decoding()


def test_names_offered_are_names_known():
    assert options.POSITIONS == POSITIONS
    assert set(options.DTYPES) == {"auto", *DTYPES}
    assert len(contenders(list(contender_names()), [])) >= 3 and set(POLICIES.split(",")) <= set(contender_names())


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("load_in_4bit=true", ("load_in_4bit", True)),
        ("bits=4", ("bits", 4)),
        ("quant_method=bitsandbytes", ("quant_method", "bitsandbytes")),
        ('x="a=b"', ("x", "a=b")),
    ],
)
def test_settings_of_a_quantisation(text, setting):
    assert _setting(text) == setting


def huge() -> None:
    torch.empty(2**55)


@pytest.mark.parametrize("wrong", [huge, lambda: bytearray(2**62)])
def test_memory_that_is_not_there_is_one_line(wrong):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        wrong()
    assert failure(caught.value) == (
        "error: out of memory: lower --budget, --tokens-per-step or --block, or take a smaller model", 2,
    )  # fmt: skip


def test_systems_say_what_helps():
    line, code = failure(OSError(errno.ENOSPC, "No space left on device", "x.json"))
    assert (line, code) == (
        "error: cannot read or write: x.json: No space left on device; free some space, or write elsewhere", 2,
    )  # fmt: skip
    assert failure(KeyError("a bug")) is None, "a bug of ours keeps its traceback"
