"""Documents, prompts and scores of the tasks beside this file: those of `infinipot-v eval`, read from the same folders.

Where a benchmark lies is said in the environment: INFINIPOT_V_RVS, INFINIPOT_V_VSTREAM_QA, INFINIPOT_V_STREAMINGBENCH.
Free answers are judged by the server at INFINIPOT_V_JUDGE (model: INFINIPOT_V_JUDGE_MODEL); without one they are not.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infinipot_v.evaluate.base import Asked
from infinipot_v.evaluate.field import benchmark_class
from infinipot_v.evaluate.field.base import FieldBenchmark
from infinipot_v.evaluate.field.footage import Clip
from infinipot_v.evaluate.field.judge import judge_of
from infinipot_v.evaluate.field.recipes import recipe_of
from infinipot_v.types import UserError

PLACES = {
    "rvs-ego": "INFINIPOT_V_RVS",
    "rvs-movie": "INFINIPOT_V_RVS",
    "vstream-qa": "INFINIPOT_V_VSTREAM_QA",
    "streamingbench": "INFINIPOT_V_STREAMINGBENCH",
}
JUDGE, JUDGE_MODEL = "INFINIPOT_V_JUDGE", "INFINIPOT_V_JUDGE_MODEL"
FILES = {
    "RVS_EGO": ("rvs-ego", None),
    "RVS_MOVIE": ("rvs-movie", None),
    "VSTREAM_QA": ("vstream-qa", None),
    "STREAMINGBENCH_REAL": ("streamingbench", "real"),
    "STREAMINGBENCH_OMNI": ("streamingbench", "omni"),
    "STREAMINGBENCH_SQA": ("streamingbench", "sqa"),
}


def __getattr__(name: str) -> str:
    """`!function utils.RVS_EGO` in a task is the path of its documents, which are read when that is asked for."""
    if name not in FILES:
        raise AttributeError(name)
    benchmark, group = FILES[name]
    # lmms-eval runs this file anew for every name, and drops it: the folder must outlive it.
    folder = tempfile.mkdtemp(prefix="infinipot-v-lmms-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / f"{name.lower()}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in documents(opened(benchmark), group)))
    return str(path)


def opened(name: str) -> FieldBenchmark:
    """The benchmark in the folder that the environment names. Raises `UserError` where it names none."""
    place = os.environ.get(PLACES[name])
    if not place:
        raise UserError(f"say where {name} lies: export {PLACES[name]}=FOLDER")
    return benchmark_class(name)(Path(place), recipe_of(None, name))


def documents(benchmark: FieldBenchmark, group: str | None) -> list[dict[str, Any]]:
    """One document a question: what is shown, as a media fragment, what is asked, and what the score needs."""
    found = []
    for item in benchmark.items():
        clip = benchmark.clip_of(item)
        for asked in item.questions:
            if group is None or asked.group == group:
                own = {"video": shown(clip, asked), "prompt": benchmark.prompt(asked), "benchmark": benchmark.name}
                found.append({**own, "asked": json.dumps(asdict(asked)), "answer": asked.answer})
    for left in benchmark.left:
        print(f"infinipot-v: left out {left.what}: {left.why}", file=sys.stderr)
    return found


def shown(clip: Clip, asked: Asked) -> str:
    """`film.mp4#t=BEGIN,END`; whole videos without."""
    begin = "" if clip.start is None else f"{clip.start:g}"
    end = clip.end if asked.at is None else (clip.start or 0.0) + asked.at
    if not begin and end is None:
        return str(clip.path.absolute())
    return f"{clip.path.absolute()}#t={begin or 0},{'' if end is None else f'{end:g}'}".removesuffix(",")


def doc_to_visual(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> list[str]:
    """The video up to the question."""
    return [doc["video"]]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> str:
    """The benchmark's own prompt."""
    return str(doc["prompt"])


def _asked(doc: dict[str, Any]) -> Asked:
    fields = json.loads(doc["asked"])
    return Asked(**{**fields, "options": tuple(fields["options"])})


def choice_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Right or wrong, by the benchmark's own reading. (lmms-eval has stripped the reply.)"""
    found = benchmark_class(doc["benchmark"])
    return {"accuracy": 100.0 * found.correct(object.__new__(found), _asked(doc), results[0])}


def judged_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """What a judge is asked, when all replies are there."""
    asked = _asked(doc)
    told = {"question": asked.text, "answer": asked.answer, "reply": results[0]}
    return {"accuracy": told}


def mean(results: Sequence[float]) -> float:
    """The mean, in percent."""
    return sum(results) / len(results) if results else float("nan")


def judged_accuracy(results: Sequence[dict[str, str]]) -> float:
    """Share of yes among readable verdicts, in percent; not a number without a judge."""
    url = os.environ.get(JUDGE)
    if not url:
        print(f"infinipot-v: nothing was judged: export {JUDGE}=http://localhost:8000/v1", file=sys.stderr)
        return float("nan")
    judge = judge_of(url, os.environ.get(JUDGE_MODEL))
    verdicts = [judge(**told).verdict for told in results]
    readable = [verdict == "yes" for verdict in verdicts if verdict != "unreadable"]
    unreadable = len(verdicts) - len(readable)
    print(f"infinipot-v: judged by {judge.settings}; {unreadable} of {len(verdicts)} unreadable", file=sys.stderr)
    return mean([100.0 * one for one in readable])
