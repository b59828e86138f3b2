"""Every benchmark of the field in small: the official layout, real mp4 files, questions made here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.videos import picture, write_video

SECONDS = 12
OPTIONS = ["a star", "a key", "a cup", "nothing"]


def video(path: Path, seconds: int = SECONDS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, frames=2 * seconds, fps=2)


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def lettered() -> list[str]:
    return [f"{letter}. {text}" for letter, text in zip("ABCD", OPTIONS, strict=True)]


SRT = """1
00:00:00,200 --> 00:00:01,800
<font color="white" size=".72c">Welcome to {}</font>

2
00:00:02,100 --> 00:00:02,300
a word

3
00:00:04,900 --> 00:00:06,000
Three of them
and a line more

4
00:00:11,000 --> 00:00:11,900
Good bye

"""
"""As Video-MME's own, in twelve seconds."""


def videomme(root: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = []
    for number, duration in enumerate(("short", "medium", "long"), 1):
        name = f"yt_{number}"
        video(root / "data" / f"{name}{'.MP4' if number == 2 else '.mp4'}")
        for index in range(1, 4):
            rows.append(
                {
                    "video_id": f"{number:03}", "duration": duration, "domain": "Knowledge", "sub_category": "Biology",
                    "url": f"https://example.org/{name}", "videoID": name, "question_id": f"{number:03}-{index}",
                    "task_type": "Counting Problem", "question": f"What is number {index} in {name}?",
                    "options": lettered(), "answer": "ABCD"[(number + index) % 4],
                }
            )  # fmt: skip
        if number != 3:  # officially, too, some videos have none
            (root / "subtitle").mkdir(exist_ok=True)
            (root / "subtitle" / f"{name}.srt").write_text(SRT.format(name), encoding="utf-8")
    (root / "videomme").mkdir()
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "videomme" / "test-00000-of-00001.parquet")


MLVU_TASKS = ("plotQA", "needle", "ego", "count", "order", "anomaly_reco", "topic_reasoning")


def mlvu(root: Path) -> None:
    for number, task in enumerate(MLVU_TASKS, 1):
        # The official script has folders without the number: both are found.
        folder = f"{number}_{task}" if number % 2 else task
        video(root / "video" / folder / f"{task}_1.mp4")
        rows = [
            {
                "video": f"{task}_1.mp4", "duration": 12.0, "question": f"{task} {index}?", "candidates": OPTIONS,
                "answer": OPTIONS[index], "question_type": "findNeedle" if task == "needle" else task,
            }
            for index in range(2)
        ]  # fmt: skip
        put(root / "json" / f"{number}_{task}.json", rows)


def egoschema(root: Path) -> None:
    questions = []
    for index in range(3):
        video(root / "videos" / f"uid-{index}.mp4")
        options = {f"option {place}": f"C does {place}" for place in range(5)}
        questions.append({"q_uid": f"uid-{index}", "google_drive_id": "x", "question": f"what {index}?", **options})
    put(root / "questions.json", questions)
    put(root / "subset_answers.json", {"uid-0": 4, "uid-2": 1})


LINES: tuple[list[dict[str, Any]], ...] = (
    [
        {"start": "00:00:01.500", "end": "00:00:03.000", "line": "A star at the door"},
        {"start": "00:00:09.900", "end": "00:00:10.000", "line": "and no more"},
    ],
    [
        {"timestamp": [2.0, 4.0], "text": "Where is the key?"},
        {"timestamp": [11.0, None], "text": "Here"},
    ],
)
"""Subtitles in both forms that LongVideoBench has."""


def longvideobench(root: Path) -> None:
    rows = []
    for index, (group, count) in enumerate(((15, 4), (3600, 5))):
        video(root / "videos" / f"v{index}.mp4")
        rows += [
            {
                "id": f"v{index}_{one}", "video_id": f"v{index}", "video_path": f"v{index}.mp4", "question": f"q{one}?",
                "candidates": [*OPTIONS, "five"][:count], "correct_choice": (one + index) % count,
                "question_category": "TOS", "topic_category": "NP", "level": "L2-Relation", "duration_group": group,
                "duration": 12.0, "subtitle_path": f"v{index}_en.json", "starting_timestamp_for_subtitles": 0.0,
            }
            for one in range(2)
        ]  # fmt: skip
        put(root / "subtitles" / f"v{index}_en.json", LINES[index])
    put(root / "lvb_val.json", rows)


def _rvs(root: Path, folder: str, file: str) -> None:
    records = []
    for name in ("one", "two"):
        video(root / folder / "videos" / f"{name}.mp4")
        asked = [("what was first?", "a star", 0, 9.0), ("what came then?", "a key", 2, 4.5), ("and now?", "no", 9, 12)]
        conversations = [dict(zip(("question", "answer", "start_time", "end_time"), one, strict=True)) for one in asked]
        path = f"data/rvs/{folder}/videos/{name}.mp4"
        records.append({"video_id": name, "video_path": path, "duration": 12.0, "conversations": conversations})
    put(root / folder / file, records)


def rvs_ego(root: Path) -> None:
    _rvs(root, "ego", "ego4d_oe.json")


def rvs_movie(root: Path) -> None:
    _rvs(root, "movie", "movienet_oe.json")
    # Films are key frames: an array at a frame a second stands for one.
    (root / "movie" / "videos" / "two.mp4").unlink()
    np.save(root / "movie" / "videos" / "two.npy", np.stack([picture(second) for second in range(SECONDS)]))
    path = root / "movie" / "movienet_oe.json"
    path.write_text(path.read_text().replace("two.mp4", "two.npy"))


def vstream_qa(root: Path) -> None:
    def row(name: str, original: str, index: int, begin: float, end: float) -> dict[str, Any]:
        return {
            "video_id": name, "video_name": original, "id": f"{name}_{index}", "question": f"is it {index}",
            "answer": "no", "answer_type": "Order Judging(Y/N)", "duration": 3.0, "start_time": begin, "end_time": end,
        }  # fmt: skip

    video(root / "ego4d_videos" / "original.mp4")
    cuts = [{"video_id": "1", "original_video": "original", "start_time": 2, "end_time": 8}]
    put(root / "vstream" / "vs_ego.json", cuts)
    rows = [row("1", "original", index, 2, 8) for index in range(2)]
    put(root / "vstream" / "test_qa_ego4d.json", [{k: v for k, v in one.items() if "time" not in k} for one in rows])
    put(root / "vstream-realtime" / "rvs_ego.json", [])
    moments = [row(f"{end}", "original", 0, 0, end) for end in (9, 3, 6)]
    put(root / "vstream-realtime" / "test_qa_ego4d.json", moments)
    for set_, name in (("vstream", "10"), ("vstream-realtime", "11")):
        frames = root / set_ / "movienet_frames_online" / name
        frames.mkdir(parents=True)
        for second in range(1, 6):
            Image.fromarray(picture(second)).save(frames / f"{second:06}.jpg")
        shots = {**row(name, "tt1", 0, 0, 0), "start_shot": 3, "end_shot": 7}
        del shots["start_time"], shots["end_time"]
        put(root / set_ / "test_qa_movienet.json", [shots])


def streamingbench(root: Path) -> None:
    def question(task: str, at: str, answer: str, **more: Any) -> dict[str, Any]:
        base = {"task_type": task, "question": f"{task} at {at}?", "time_stamp": at, "required_ability": "memory"}
        return {**base, "answer": answer, "options": lettered(), **more}

    def record(name: str, *questions: dict[str, Any]) -> dict[str, Any]:
        video(root / "videos" / f"{name}.mp4")
        return {"time": "[0:00:00 - 0:00:10]", "questions": list(questions), "video_path": f"./videos/{name}.mp4"}

    real = [
        record("sample_1_real", question("Clips Summarize", "00:00:05", "C"), question("Counting", "0:00:09", "A")),
        record("sample_1_real", question("Counting", "00:03", "B")),
        record("sample_2_real", question("Counting", "00:00:08", "D")),
    ]
    put(root / "questions_real.json", real)
    put(
        root / "questions_omni.json",
        [record("sample_3_Scene_Understanding_1-25", question("Scene Understanding", "00:00:04", "B"))],
    )
    sequence = [
        record("sample_4_sqa", question("Sequential Question Answering", "00:00:04", "A", options=OPTIONS)),
        record("sample_4_sqa", question("Sequential Question Answering", "00:00:08", "D", options=OPTIONS)),
    ]
    put(root / "questions_sqa.json", [sequence])
    standing = {
        "task_type": "Proactive Output", "question": 'When it is there, output "3".', "time_stamp": "00:00:02",
        "ground_truth_time_stamp": "00:00:06", "ground_truth_output": "3", "required_ability": "memory",
    }  # fmt: skip
    put(root / "questions_proactive.json", [record("sample_5_proactive", standing)])


def ovobench(root: Path) -> None:
    records: list[dict[str, Any]] = []
    for task in ("EPM", "ASI", "HLD", "OCR", "ACR", "ATR", "STU", "FPD", "OJR"):
        records.append(
            {
                "id": len(records), "task": task, "video": "Ego4D/clips/a.mp4", "realtime": 3 + len(records) / 2,
                "question": f"{task}?", "answer": "another text", "options": OPTIONS[: 2 + len(records) % 3],
                "gt": len(records) % 2,
            }
        )  # fmt: skip
    film = {"video": "MovieNet/tt1&index=1.mp4"}
    records += [
        {"id": 9, "task": "CRR", **film, "question": "what action?", "answer": "x", "ask_time": 2, "clue_time": 6,
         "test_info": [{"realtime": 2, "type": 0}, {"realtime": 8, "type": 1}]},
        {"id": 10, "task": "SSR", **film, "tutorial": "t", "all_steps": ["pull", "put"], "start_time": [6, 1],
         "end_time": [8, 3], "test_info": [{"realtime": 7, "step": "pull", "type": 1},
                                           {"realtime": 2, "step": "pull", "type": 0}]},
        {"id": 11, "task": "REC", **film, "activity": "jump", "start_times": [1], "end_times": [4],
         "test_info": [{"realtime": 3, "count": 0}, {"realtime": 5.5, "count": 1}]},
    ]  # fmt: skip
    video(root / "src_videos" / "Ego4D" / "clips" / "a.mp4")
    video(root / "src_videos" / film["video"])
    put(root / "ovo_bench_new.json", records)


def proready_qa(root: Path) -> None:
    video(root / "videos" / "a.mp4")
    records = [
        {"video": "a.mp4", "task": task, "question": f"{task}?", "options": OPTIONS, "answer": "B", "asked": 1,
         "evidence": [4, 8]}
        for task in ("SSR", "GSD")
    ]  # fmt: skip
    put(root / "proready.json", records)


MINIS: dict[str, Callable[[Path], None]] = {
    "videomme": videomme,
    "mlvu": mlvu,
    "egoschema": egoschema,
    "longvideobench": longvideobench,
    "rvs-ego": rvs_ego,
    "rvs-movie": rvs_movie,
    "vstream-qa": vstream_qa,
    "streamingbench": streamingbench,
    "ovobench": ovobench,
    "proready-qa": proready_qa,
}
