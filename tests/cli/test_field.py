"""`infinipot-v eval NAME --data DIR`: every benchmark of the field, on its miniature, with the pocket model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.evaluate.field.minis import MINIS
from tests.evaluate.field.test_benchmarks import QUESTIONS

WITH = ("--model", "pocket", "--budget", "32", "--policy", "infinipot-v")


@pytest.fixture
def mini(tmp_path):
    def folder(name: str) -> str:
        (tmp_path / name).mkdir()
        MINIS[name](tmp_path / name)
        return str(tmp_path / name)

    return folder


@pytest.mark.parametrize("name", MINIS)
def test_every_benchmark_runs_end_to_end(name, run, mini, tmp_path):
    judge = ("--judge", "fake") if name.startswith(("rvs", "vstream")) else ()
    code, out, err = run("eval", name, "--data", mini(name), *WITH, *judge, "--json")
    assert code == 0, err
    result = json.loads(out)
    whole = result["rows"][0]
    assert whole["n"] == QUESTIONS[name] and whole["policy"] == "infinipot-v" and whole["budget"] == "32"
    assert 0 < whole["budget_fraction"] <= 1 and 0 <= whole["low"] <= whole["accuracy"] <= whole["high"] <= 1
    cost, settings = result["cost"][0], result["settings"]
    assert 0 < cost["held_tokens"][0] <= cost["held_tokens"][2] <= 32
    assert cost["seen_tokens"] > 32 or name == "vstream-qa"
    assert settings["benchmark"] == name and settings["recipe"]["name"].startswith("infinipot-v/")
    assert settings["versions"]["torch"] and settings["model"] == "pocket"
    assert result["left_out"] == [] and result["speed"][0]["frames_per_second"] > 0
    files = {path.name for path in Path("eval-results").iterdir()}
    assert f"{name}.jsonl" in files and any(file.endswith(".md") for file in files)
    assert settings.get("judge", {}).get("fake", False) is bool(judge)
    lines = Path(f"eval-results/{name}.jsonl").read_text()
    code, again, _ = run("eval", name, "--data", str(tmp_path / name), *WITH, *judge, "--json")
    assert code == 0 and json.loads(again)["rows"] == result["rows"]
    kept = Path(f"eval-results/{name}.jsonl").read_text()
    assert kept.startswith(lines) and kept.count('"policy"') == lines.count('"policy"')


def test_standing_questions_have_a_chance_of_yes(run, mini):
    code, _, err = run("eval", "streamingbench", "--data", mini("streamingbench"), *WITH)
    assert code == 0, err
    records = [json.loads(line) for line in Path("eval-results/streamingbench.jsonl").read_text().splitlines()[2:]]
    polls = next(record for record in records if record["polls"])["polls"]
    assert len(polls) == 8 and all(0 <= chance <= 1 for _, _, chance in polls)


def test_tables_for_people(run, mini):
    code, out, err = run("eval", "ovobench", "--data", mini("ovobench"), *WITH)
    assert code == 0, err
    assert "average of three regimes" in out and "(real-time + backward) / 2" in out
    assert "each watched once: 5 times fewer frames than a video a question" in out
    code, out, err = run("eval", "rvs-ego", "--data", mini("rvs-ego"), *WITH)
    assert code == 0 and "not judged" in out and "--judge URL" in err
    code, out, _ = run("eval", "rvs-ego", "--data", "rvs-ego", *WITH, "--judge", "fake")
    assert code == 2  # another folder
    page = Path("eval-results/ovobench.md").read_text()
    assert page.startswith("# ovobench\n") and "| infinipot-v | 32 |" in page


def test_parts_and_their_merging(run, mini):
    folder = mini("mlvu")
    for part in ("1/2", "2/2"):
        code, out, err = run("eval", "mlvu", "--data", folder, *WITH, "--shard", part, "--out", "parts")
        assert code == 0 and "eval-merge" in out, err
    code, out, err = run("eval-merge", "parts", "--json")
    assert code == 0, err
    code, whole, _ = run("eval", "mlvu", "--data", folder, *WITH, "--json")
    results = [json.loads(text) for text in (out, whole)]
    for result in results:
        del result["speed"]
    assert results[0] == results[1]
    code, _, err = run("eval-merge", "eval-results")
    assert code == 2 and "no parts" in err


def test_a_submission_is_written_of_a_run_of_all(run, mini):
    code, _, err = run(
        "eval", "egoschema", "--data", mini("egoschema"), *WITH, "--recipe", "infinipot-v/egoschema-full"
    )
    assert code == 0, err
    (file,) = Path("eval-results").glob("egoschema.submission.*.json")
    assert set(json.loads(file.read_text())) == {"uid-0", "uid-1", "uid-2"}


def test_what_is_left_out_is_said_and_strict_stops(run, mini):
    folder = Path(mini("videomme"))
    (folder / "data" / "yt_1.mp4").unlink()
    (folder / "data" / "yt_2.MP4").write_bytes(b"nothing")
    code, out, err = run("eval", "videomme", "--data", str(folder), *WITH)
    assert code == 0, err
    assert "left out: 6 questions" in out and "the video is missing: data/yt_1.mp4" in out
    code, _, err = run("eval", "videomme", "--data", str(folder), *WITH, "--strict")
    assert code == 2 and "yt_1.mp4" in err
    shutil.rmtree(folder / "data")
    code, _, err = run("eval", "videomme", "--data", str(folder), *WITH, "--out", "other")
    assert code == 2 and "no question that can be asked" in err and "yt_3.mp4: the video is missing" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("eval", "ovobnch", "--data", "."), "did you mean 'ovobench'"),
        (("eval", "ovobench", "--model", "pocket"), "--data FOLDER, which holds ovo_bench_new.json"),
        (("eval", "ovobench", "--data", "nowhere", "--model", "pocket"), "no folder nowhere"),
        (("eval", "ovobench", "--data", ".", "--model", "pocket"), "is not ovobench"),
        (("eval", "ovobench", "--data", ".", "--model", "pocket", "--limit", "0"), "--limit 0"),
        (("eval", "ovobench", "--data", ".", "--model", "pocket", "--shard", "3/2"), "no shard 3/2"),
        (("eval", "ovobench", "--data", ".", "--recipe", "infinipot-v/mlv"), "did you mean 'infinipot-v/mlvu'"),
        (("eval", "ovobench", "--data", ".", "--seeds", "0:2", "--quick"), "--seeds, --quick are for pocket"),
        (("eval", "pocket", "--data", ".", "--strict"), "--data, --strict are for the benchmarks of the field"),
        (("eval", "day", "--judge", "fake"), "leave them out of day"),
        (("eval-merge", "nowhere"), "no parts"),
    ],
)
def test_bad_input_is_one_line(words, message, run):
    code, out, err = run(*words)
    assert code == 2 and message in err and err.count("\n") == 1 and out == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--budget", "many"), "cannot read the budget"),
        (("--policies", "infinipt-v"), "did you mean 'infinipot-v'"),
        (("--judge", "http://localhost:1/v1"), "scored without a judge"),
        (("--judge-model", "x"), "without --judge"),
    ],
)
def test_what_is_wrong_is_found_before_the_model_is_loaded(more, message, run, mini):
    code, _, err = run("eval", "ovobench", "--data", mini("ovobench"), "--model", "no/such", *more)
    assert code == 2 and message in err


def test_no_model_is_an_error_that_names_some(run, mini):
    code, _, err = run("eval", "ovobench", "--data", mini("ovobench"))
    assert code == 2 and "--model" in err


def test_published_numbers_stand_beside_ones_own(run, mini):
    code, out, _ = run("published")
    assert code == 0 and "ovobench, backward; Qwen2.5-VL-7B" in out and "arXiv 2506.15745" in out
    code, out, _ = run("published", "ovobench", "--json")
    rows = json.loads(out)["rows"]
    assert code == 0 and {row["benchmark"] for row in rows} == {"ovobench"} and all(row["source"] for row in rows)
    run("eval", "ovobench", "--data", mini("ovobench"), *WITH)
    code, out, _ = run("published", "ovobench", "--own", "eval-results")
    assert code == 0 and "ovobench, backward; pocket" in out and "yours" in out
    code, _, err = run("published", "ovobnch")
    assert code == 2 and "did you mean 'ovobench'" in err
    code, _, err = run("published", "--own", "nowhere")
    assert code == 2 and "no results" in err
