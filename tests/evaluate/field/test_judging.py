"""The judge: read strictly, asked over a real connection, its verdicts kept and never mixed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infinipot_v.evaluate.field.judge import DIGEST, MODEL, REVISION, Endpoint, FakeJudge, judge_of, read
from infinipot_v.evaluate.field.judging import Verdicts, judged, label
from infinipot_v.evaluate.records import Record
from infinipot_v.types import UserError


def record(index: int, reply: str) -> Record:
    return Record("p", 0.5, "item", index, 3, "x", 0.0, f"q{index}?", "a star", reply, False, 1, 1, 0.1)


@pytest.mark.parametrize(
    ("said", "verdict", "score"),
    [
        ("{'pred': 'yes', 'score': 4}", "yes", 4.0),
        ("{'pred': 'yes', 'score': 4.8}", "yes", 4.0),  # the published scripts take the whole part
        ('{"pred": "No", "score": 0}', "no", 0.0),
        ("Sure! {'pred': 'no', 'score': '2'} as asked", "no", 2.0),
        ("{'pred': 'unknown', 'score': 1}", "unreadable", None),
        ("{'pred': 'yes', 'score': 9}", "unreadable", None),
        ("{'pred': 'yes'}", "unreadable", None),
        ("{'pred': 'not yet', 'score': 1}", "unreadable", None),
        ("yes", "unreadable", None),
        ("", "unreadable", None),
        ("{" * 500, "unreadable", None),
        ("{__import__('os')}", "unreadable", None),
    ],
)
def test_what_a_judge_says_is_read_strictly(said, verdict, score):
    found = read(said)
    assert (found.verdict, found.score, found.said) == (verdict, score, said)


class Server(ThreadingHTTPServer):
    """Answers as an OpenAI-compatible server does; `failures` times it is overloaded first."""

    failures, requests = 0, 0
    status, body = 200, ""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.requests += 1
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append({"path": self.path, "key": self.headers["Authorization"], **content})
        status = 503 if self.server.requests <= self.server.failures else self.server.status
        right = "Predicted Answer: a star" in content["messages"][1]["content"]
        said = str({"pred": "yes" if right else "no", "score": 5 if right else 1})
        body = self.server.body or json.dumps({"choices": [{"message": {"content": said}}]})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def endpoint(server: Server) -> Endpoint:
    return Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1/", "some/judge", "abc", pause=0.001)


def test_a_real_server_judges_every_reply_once(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    judge = endpoint(server)
    records = [record(0, "a star"), record(1, "a key"), record(2, "")]
    told: list[tuple[int, int]] = []
    found = judged(records, judge, Verdicts(tmp_path / "v.jsonl", judge.settings), lambda *now: told.append(now))
    assert [(one.verdict, one.score, one.correct) for one in found] == [
        ("yes", 5.0, True), ("no", 1.0, False), ("no", 1.0, False),
    ]  # fmt: skip
    assert told == [(1, 3), (2, 3), (3, 3)] and server.requests == 3
    sent = server.seen[0]
    assert (sent["path"], sent["key"], sent["model"]) == ("/v1/chat/completions", "Bearer secret", "some/judge")
    assert sent["temperature"] == 0 and "q" in sent["messages"][1]["content"]
    # Again, and by another policy with the same replies: nothing is asked.
    again = Verdicts(tmp_path / "v.jsonl", judge.settings)
    assert judged([*records, replace(records[0], policy="other")], judge, again)[3].correct
    assert server.requests == 3
    assert "secret" not in (tmp_path / "v.jsonl").read_text() and "127.0.0.1" not in (tmp_path / "v.jsonl").read_text()


def test_an_overloaded_judge_is_asked_again(server):
    server.failures = 3
    assert endpoint(server)("q", "a star", "a star").verdict == "yes" and server.requests == 4


@pytest.mark.parametrize(
    ("status", "body", "asked", "reason"),
    [(500, "", 5, "500"), (401, "", 1, "401"), (200, "{}", 5, "OpenAI form"), (200, "nothing", 5, "OpenAI form")],
)
def test_a_judge_that_does_not_answer_stops_the_judging_in_one_line(server, tmp_path, status, body, asked, reason):
    server.status, server.body = status, body
    with pytest.raises(UserError, match=reason):
        endpoint(server)("q", "a", "r")
    assert server.requests == asked
    judge = endpoint(server)
    with pytest.raises(UserError, match="is kept"):
        judged([record(0, "x")], judge, Verdicts(tmp_path / "v.jsonl", judge.settings))


def test_nobody_listens():
    with pytest.raises(UserError, match="does not answer"):
        Endpoint("http://127.0.0.1:9/v1", pause=0.001)("q", "a", "r")
    with pytest.raises(UserError, match="no address"):
        Endpoint("localhost:8000")


def test_verdicts_survive_a_kill_and_are_of_one_judge(tmp_path):
    path, judge = tmp_path / "v.jsonl", FakeJudge()
    records = [record(0, "a star"), record(1, "a key")]
    judged(records, judge, Verdicts(path, judge.settings))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    kept = Verdicts(path, judge.settings)
    assert [kept.of(one) is None for one in records] == [False, True]
    judged(records, judge, kept)
    assert path.read_bytes() == whole
    with pytest.raises(UserError, match="another judge"):
        Verdicts(path, {"model": "x"})
    path.write_text("{}\n")
    with pytest.raises(UserError, match="damaged"):
        Verdicts(path, judge.settings)


def test_judges_are_told_apart_by_model_revision_and_prompt():
    default = judge_of("http://localhost/v1", None).settings
    assert default == {"model": MODEL, "revision": REVISION, "prompt": DIGEST}
    other = judge_of("http://localhost/v1", "some/model@abc").settings
    assert (other["model"], other["revision"]) == ("some/model", "abc")
    assert judge_of("http://localhost/v1", "some/model").settings["revision"] == "not given"
    names = {label(settings) for settings in (default, other, {**other, "prompt": "x"}, FakeJudge().settings)}
    assert len(names) == 4 and all("/" not in name for name in names)
