"""The real lmms-eval, in an environment of its own (`make lmms`): its command line, its tasks' functions, and ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lmms_eval")

from infinipot_v.evaluate.field import benchmark_class
from infinipot_v.evaluate.field.recipes import recipe_of
from infinipot_v.lmms import TASKS
from infinipot_v.lmms.model import InfiniPotV, decoding_of
from infinipot_v.types import UserError
from tests.evaluate.field.minis import MINIS, put, video

pytestmark = pytest.mark.filterwarnings("ignore")


def command(out: Path, tasks: str, *more: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """Run `lmms-eval eval` without a network; its results by task, and all that it said."""
    words = ["eval", "--model", "infinipot_v", "--model_args", "pretrained=pocket,budget=64,fps=1.0"]
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lmms-eval"), *words, "--tasks", tasks, "--output_path", str(out), *more],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(out / "hf"), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = sorted(out.rglob("*_results.json"))
    return run.returncode, json.loads(found[-1].read_text())["results"] if found else {}, run.stdout + run.stderr


@pytest.fixture(scope="module")
def model() -> InfiniPotV:
    return InfiniPotV(pretrained="pocket", budget="64")


def request(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


def asked(model: InfiniPotV, shown: list[str], **options: Any) -> list[SimpleNamespace]:
    model.task_dict = {"task": {"test": [{"shown": one} for one in shown]}}
    return [
        request("What came first?", {"max_new_tokens": 4, "until": ["\n\n"], **options}, lambda doc: [doc["shown"]],
                number, "task", "test")
        for number in range(len(shown))
    ]  # fmt: skip


def test_the_registry_finds_the_model_by_both_names():
    from lmms_eval.models import get_model

    assert get_model("infinipot_v") is InfiniPotV is get_model("infinipot-v")


def test_the_same_video_is_watched_once_and_answers_keep_their_order(model, tmp_path):
    a, b = (str(video(tmp_path / f"{name}.mp4", 6)) for name in "ab")
    before = model.videos_watched
    shown = [f"{a}#t=0,5", b, f"{a}#t=0,2", a, b]
    answers = model.generate_until(asked(model, shown))
    assert model.videos_watched == before + 2 and len(answers) == 5
    alone = [model.generate_until(asked(model, [one]))[0] for one in shown]
    assert answers == alone
    assert model.videos_watched == before + 2 + 5


def test_a_part_sees_nothing_behind_its_end(model, tmp_path):
    path = str(video(tmp_path / "a.mp4", 8))
    seen = []
    model_session = model._watched

    for index, session in model_session(
        [_media(f"{path}#t=0,{end}") for end in ("0.01", "3", "5.5")] + [_media(path)], range(4)
    ):
        seen.append((index, session.report().frames))
    assert seen == [(0, 1), (1, 3), (2, 6), (3, 8)]


def _media(text: str) -> Any:
    from infinipot_v.lmms.media import Media

    return Media.of([text])


def test_a_likelihood_is_that_of_plain_logits(model, tmp_path):
    path = str(video(tmp_path / "a.mp4", 4))
    model.task_dict = {"task": {"test": [{"shown": path}]}}
    own = [("star", model), (" key", model)]
    found = model.loglikelihood(
        [request("What came first?", text, lambda doc: [doc["shown"]], 0, "task", "test") for text, _ in own]
    )
    session = next(session for _, session in model._watched([_media(path)], [0]))
    logits = session.answering("What came first?").first_logits().double().log_softmax(-1)
    for (text, _), (weight, greedy) in zip(own, found, strict=True):
        (token,) = session.model.prompt.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert weight == pytest.approx(float(logits[token]), abs=1e-9)
        assert greedy is (int(logits.argmax()) == token)
    said = session.ask("What came first?", remember=False)
    weight, greedy = session.answering("What came first?").likelihood(said.text)
    assert greedy and weight <= 0 and session.ask("What came first?", remember=False).text == said.text


def test_rounds_of_ovobench_forward_by_lmms_evals_own_functions(model, tmp_path):
    from lmms_eval.tasks.ovobench import utils as ovo

    for index in range(3):
        video(tmp_path / f"7_{index}.mp4", 3 + index)
    document = {"id": 7, "task": "REC", "activity": "jump",
                "test_info": [{"realtime": 3 + index, "count": 1} for index in range(3)]}  # fmt: skip
    where = {"data_dir": str(tmp_path)}
    model.task_dict = {"ovo_forward": {"test": [document]}}

    def to_text(*args: Any, **more: Any) -> Any:
        return ovo.ovo_forward_doc_to_text(*args, lmms_eval_specific_kwargs=dict(where), **more)

    arguments = (
        to_text(document), {"max_new_tokens": 4}, lambda doc: ovo.ovo_doc_to_visual(doc, dict(where)), to_text, 0,
        "ovo_forward", "test",
    )  # fmt: skip
    (rounds,) = model.generate_until_multi_round([request(*arguments)])
    assert len(rounds) == 3 and all(isinstance(text, str) for text in rounds)
    result = ovo.ovo_forward_process_results(document, [list(rounds)])
    assert "forward_acc" in result


def test_our_tasks_run_from_the_command_line(tmp_path):
    for name in ("streamingbench", "rvs-ego", "rvs-movie", "vstream-qa"):
        (tmp_path / name).mkdir()
        MINIS[name](tmp_path / name)
    both = tmp_path / "rvs"
    both.mkdir()
    (tmp_path / "rvs-ego" / "ego").rename(both / "ego")
    (tmp_path / "rvs-movie" / "movie").rename(both / "movie")
    tasks = "streamingbench,rvs_ego,rvs_movie,vstream_qa"
    code, results, told = command(
        tmp_path / "out", tasks, "--include_path", str(TASKS),
        INFINIPOT_V_STREAMINGBENCH=str(tmp_path / "streamingbench"),
        INFINIPOT_V_RVS=str(both), INFINIPOT_V_VSTREAM_QA=str(tmp_path / "vstream-qa"), INFINIPOT_V_JUDGE="fake",
    )  # fmt: skip
    assert code == 0, told[-3000:]
    wanted = {"streamingbench_real", "streamingbench_omni", "streamingbench_sqa", "rvs_ego", "rvs_movie", "vstream_qa"}
    assert wanted <= set(results)
    assert all(0 <= results[task]["accuracy,none"] <= 100 for task in wanted)


def test_our_documents_ask_what_our_own_benchmark_asks(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TASKS))
    import utils as tasks  # type: ignore[import-not-found]

    MINIS["streamingbench"](tmp_path)
    monkeypatch.setenv("INFINIPOT_V_STREAMINGBENCH", str(tmp_path))
    documents = [json.loads(line) for line in Path(tasks.STREAMINGBENCH_REAL).read_text().splitlines()]
    benchmark = benchmark_class("streamingbench")(tmp_path, recipe_of(None, "streamingbench"))
    own = [one for item in benchmark.items() for one in item.questions if one.group == "real"]
    assert [tasks.doc_to_text(one) for one in documents] == [benchmark.prompt(one) for one in own]
    assert documents[0]["video"].endswith("sample_1_real.mp4#t=0,3")
    for document, question in zip(documents, own, strict=True):
        assert tasks.choice_results(document, [question.answer]) == {"accuracy": 100.0}
        assert tasks.choice_results(document, ["nothing"]) == {"accuracy": 0.0}
    monkeypatch.delenv("INFINIPOT_V_STREAMINGBENCH")
    with pytest.raises(UserError, match="export INFINIPOT_V_STREAMINGBENCH"):
        _ = tasks.STREAMINGBENCH_REAL


def test_lmms_evals_own_videomme_runs_on_a_local_copy(tmp_path):
    """Its prompts, its reading and its scores, on documents that lie here."""
    rows = []
    for index in range(2):
        video(tmp_path / "out" / "hf" / "videomme" / "data" / f"v{index}.mp4", 4)
        for number in range(2):
            rows.append(
                {"video_id": f"00{index}", "duration": "short", "domain": "Knowledge",
                 "sub_category": "Biology & Medicine",
                 "videoID": f"v{index}", "question_id": f"00{index}-{number}", "task_type": "Counting Problem",
                 "question": "How many?", "options": ["A. 1", "B. 2", "C. 3", "D. 4"], "answer": "A", "url": ""}
            )  # fmt: skip
    put(tmp_path / "rows.json", rows)
    (tmp_path / "utils.py").write_text("from lmms_eval.tasks.videomme.utils import *\n")
    (tmp_path / "own.yaml").write_text(
        f"""task: videomme_here
dataset_path: json
dataset_kwargs:
  data_files:
    test: {tmp_path / "rows.json"}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.videomme_doc_to_visual
doc_to_text: !function utils.videomme_doc_to_text
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 16, temperature: 0, do_sample: false, num_beams: 1, top_p: 1.0}}
process_results: !function utils.videomme_process_results
metric_list:
  - metric: videomme_perception_score
    aggregation: !function utils.videomme_aggregate_results
    higher_is_better: true
lmms_eval_specific_kwargs:
  default: {{pre_prompt: "", post_prompt: "\\nAnswer with the option's letter."}}
metadata:
  - version: 0.0
"""
    )
    code, results, told = command(tmp_path / "out", "videomme_here", "--include_path", str(tmp_path))
    assert code == 0 and "videomme_here" in results, told[-3000:]


def test_decoding():
    greedy = decoding_of({"max_new_tokens": 16, "temperature": 0, "until": ["\n\n", "STOP"]})
    assert (greedy.max_new_tokens, greedy.temperature, greedy.stop) == (16, 0.0, ("STOP",))
    sampled = decoding_of({"do_sample": True, "temperature": 0.5, "top_p": 0.9, "until": "X"})
    assert (sampled.temperature, sampled.top_p, sampled.stop) == (0.5, 0.9, ("X",))
    assert decoding_of({"do_sample": False, "temperature": 0.7}).temperature == 0


def test_what_there_is_not():
    with pytest.raises(UserError, match="one by one"):
        InfiniPotV(pretrained="pocket", batch_size=4)
    with pytest.raises(UserError, match="cannot read the budget"):
        InfiniPotV(pretrained="pocket", budget="much")
