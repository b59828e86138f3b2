"""What SECURITY.md says of templates and the network. Pickles and foreign code: tests/cli/test_bad_inputs.py."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from infinipot_v import Budget, Session, UserError, load_model, open_source
from tests.videos import write_video

ESCAPE = "video {{ ''.__class__.__mro__[1].__subclasses__() }}"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/clip.ts\n#EXT-X-ENDLIST\n"
SESSION = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)


def test_a_chat_template_stays_in_its_sandbox(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("qwen2_vl"), tmp_path / "copy"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": ESCAPE}))
    with pytest.raises(UserError, match=r"__class__.* is unsafe"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize(("name", "content"), [("clip.m3u8", PLAYLIST), ("clip.sdp", SESSION)])
def test_a_file_does_not_send_ffmpeg_to_the_network(tmp_path, name, content):
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / name).write_text(content.format(port=server.getsockname()[1]))
        with pytest.raises(UserError, match="is a playlist|is not a video"), open_source(tmp_path / name) as source:
            next(source)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_local_checkpoint_and_a_local_video_need_no_network(checkpoint, tmp_path, monkeypatch):
    asked = []

    def refuse(*arguments):
        asked.append(arguments)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    session = Session(load_model(checkpoint("qwen2_vl"), device="cpu"), Budget(tokens=64), tokens_per_step=8)
    with open_source(write_video(tmp_path / "clip.mp4"), fps=5) as source:
        session.watch(source)
    assert session.ask("What?").seconds > 0 and asked == []
