"""The same number of development trials for everybody, and what the best setting is worth on the test streams.

A trial is one setting on all development streams. A method's first setting is its default; of equally good ones the
earlier is taken. Test streams take no part in the choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infinipot_v.evaluate.experiments.base import OURS, Arm, Experiment, Results, Table
from infinipot_v.evaluate.experiments.scale import Scale
from infinipot_v.evaluate.experiments.tables import NOBODY, accuracy, counted, points

KEEPS = ("", "keep=0.5", "keep=0.875", "keep=0.25")
"""For methods without an option that matters here: what a compaction leaves. 7/8 is the most that 8 steps allow."""
SETTINGS: Mapping[str, tuple[str, str, str, str]] = {
    OURS: ("", "alpha=0.75", "tar_keys=content", "alpha=0.75+tar_keys=content"),
    "infinipot-v-code": ("", "alpha=0.75", "recent=0.125", "pooling=quarters"),
    "snapkv": ("", "window=16", "kernel=3", "pooling=off"),
    "infinipot": ("", "prompt=What was there?", "prompt=What is visible now?", "keep=0.875"),
    "streammem": KEEPS,
    "hermes": ("", "shallow=0.0", "deep=0.6", "question=What was there?"),
    "keydiff": ("", "recent=0.25", "keys=content", "recent=0.25+keys=content"),
    "key-norm": KEEPS,
    "random": KEEPS,
    "uniform": KEEPS,
    "sliding-window": ("", "sinks=0", "sinks=32", "keep=0.875"),
}
"""Every method's trials, as options of a contender; the default first. A scale takes the first few of each."""


def settings_of(method: str, scale: Scale) -> tuple[str, ...]:
    """The contenders that a method may try, its default first."""
    return tuple("+".join(filter(None, (method, options))) for options in SETTINGS[method][: scale.trials])


def arms(scale: Scale, results: Results) -> Sequence[Arm]:
    """All settings on the development streams, and once these are known each default and each choice in the test."""
    tried = [
        Arm(method, policy, scale.dev_streams, condition="dev")
        for method in SETTINGS
        for policy in settings_of(method, scale)
    ]
    judged = [
        Arm(method, policy, scale.test_streams, condition=condition)
        for method in SETTINGS
        for condition, policy in (("default", method), ("chosen", chosen(method, tried, results)))
        if policy
    ]
    return tried + judged


def chosen(method: str, tried: Sequence[Arm], results: Results) -> str:
    """The setting with the most right answers on the development streams; empty until all trials are run.

    Only arms of the condition `dev` are looked at. The first of equals is taken.
    """
    own = [arm for arm in tried if arm.label == method and arm.condition == "dev"]
    if not all(results.whole(arm) for arm in own):
        return ""
    return max(own, key=lambda arm: results.score(arm).correct).policy


def tables(arms: Sequence[Arm], results: Results) -> Sequence[Table]:
    """A line a method: default and chosen setting, in the test."""
    lines = []
    for method in dict.fromkeys(arm.label for arm in arms):
        own = {arm.condition: arm for arm in arms if arm.label == method and arm.condition != "dev"}
        default, best = own.get("default"), own.get("chosen")
        if default is None or best is None:
            continue
        same = best.policy == default.policy
        setting = "its default" if same else best.policy.removeprefix(f"{method}+").replace("+", ", ")
        gain = NOBODY if same else points(results.difference(best, default))
        lines.append((method, accuracy(results.score(default)), setting, accuracy(results.score(best)), gain))
    judged = [arm for arm in arms if arm.condition != "dev"]
    head = ("method", "default, %", "chosen in development", "chosen, %", "gain, points")
    return [Table(head, lines, f"In the test: {counted(judged, results)}.")]


def notes(arms: Sequence[Arm], results: Results) -> Mapping[str, object]:
    """Trials of every method: how many, and what each scored in development."""
    tried = [arm for arm in arms if arm.condition == "dev"]
    return {
        method: {
            "trials": sum(arm.label == method for arm in tried),
            "dev": {arm.policy: round(results.score(arm).accuracy, 4) for arm in tried if arm.label == method},
            "chosen": chosen(method, tried, results),
        }
        for method in dict.fromkeys(arm.label for arm in tried)
    }


EXPERIMENT = Experiment(
    name="trials",
    title="The same trials for everybody",
    reading="Every method tries the same number of settings on the same development streams, its default among "
    "them; the best goes into the test beside the default. Before that, ours alone had about 20 other "
    "trials on development streams (results/pocket-dev-sweep-1.json and -2.json). They changed one thing "
    "of the method, the widest pooling kernel, and they say which settings of ours were worth trying "
    "here; rivals had no such help.",
    arms=arms,
    tables=tables,
    notes=notes,
)
