"""What containers and decoders do differently: covers, playlists, alpha, timestamps, streams that appear, memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from infinipot_v.sources import container, open_source
from infinipot_v.types import UserError
from tests import videos


def times(path: Path, **options: float) -> list[float]:
    with open_source(path, **{"fps": 1000, **options}) as source:
        return [round(frame.seconds, 3) for frame in source]


def _cover(stream: av.VideoStream) -> None:
    stream.disposition = av.stream.Disposition.attached_pic.value
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"


def _with_cover(path: Path, video: bool) -> Path:
    """A file whose first stream is a cover, then sound, and then a video where there shall be one."""
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        _cover(cover)
        sound = output.add_stream("aac", rate=16000)
        film = output.add_stream("mpeg4", rate=10) if video else None
        if film is not None:
            film.width, film.height, film.pix_fmt = *videos.SIZE, "yuv420p"
        output.mux(cover.encode(av.VideoFrame.from_ndarray(videos.picture(0, 64, 64), format="rgb24")))
        for index in range(10 if film is not None else 0):
            output.mux(film.encode(av.VideoFrame.from_ndarray(videos.picture(index), format="rgb24")))
        for stream in filter(None, (cover, film)):
            output.mux(stream.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux(sound.encode(frame))
        output.mux(sound.encode())
    return path


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no video stream"):
        open_source(_with_cover(tmp_path / "song.mp4", video=False))
    assert times(_with_cover(tmp_path / "film.mp4", video=True)) == [index / 10 for index in range(10)]


def test_a_name_without_an_extension_or_with_a_wrong_one_does_not_matter(tmp_path: Path) -> None:
    clip = videos.write_video(tmp_path / "clip.mp4")
    for name in ("clip", "clip.txt", "clip.dat", "100%d.mp4", "-clip", "clip:1.mp4", "ключ.mp4"):
        path = clip.rename(tmp_path / name)
        assert len(times(path)) == 20, name
        path.rename(clip)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(UserError, match="is a device or a pipe"):
            open_source(path)


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:5,\n{clip}\n", "\ufeff#EXTM3U\n", "ffconcat version 1.0\nfile {clip}\n"]
)
def test_a_playlist_is_refused_at_once(tmp_path: Path, text: str) -> None:
    clip = videos.write_video(tmp_path / "clip.ts")
    (tmp_path / "list.m3u8").write_text(text.format(clip=clip.name), encoding="utf-8")
    with pytest.raises(UserError, match="is a playlist"):
        open_source(tmp_path / "list.m3u8")


def test_a_session_description_does_not_listen_for_a_stream(tmp_path: Path) -> None:
    lines = "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=x", "c=IN IP4 127.0.0.1", "t=0 0", "m=video 5004 RTP/AVP 96"
    (tmp_path / "x.sdp").write_text("\n".join([*lines, "a=rtpmap:96 H264/90000", ""]))
    with pytest.raises(UserError, match="not a video"):
        open_source(tmp_path / "x.sdp")


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    path = tmp_path / "alpha.mov"
    pixels = np.full((64, 64, 4), (200, 100, 50, 255), dtype=np.uint8)
    pixels[:32, :, 3], pixels[:, :32, 3] = 128, 0
    with av.open(str(path), "w") as output:
        stream = output.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgba"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        output.mux(stream.encode())
    with open_source(path) as source:
        shown = next(source).pixels
    assert shown[40, 10].tolist() == [0, 0, 0]
    assert shown[40, 40].tolist() == [200, 100, 50]
    assert shown[10, 40].tolist() == [100, 50, 25]


@pytest.mark.parametrize("first", [-3.7, -0.1, 0.05, 95442.0])
@pytest.mark.parametrize("suffix", ["mov", "mkv", "ts"])
def test_odd_first_timestamps(tmp_path: Path, suffix: str, first: float) -> None:
    """Negative, late, and (95,443 s) where the clock of a transport stream begins again."""
    if suffix == "mov":
        first = abs(first)  # an edit list cuts off what lies before 0
    stamps = [first + index / 10 for index in range(30)]
    assert times(videos.write_video(tmp_path / f"odd.{suffix}", times=stamps)) == [index / 10 for index in range(30)]


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_b_frames_in_avi_come_in_order(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = videos.write_video(tmp_path / "b.avi", 30, 10, codec=codec, bframes=2)
    with open_source(path, fps=1000) as source:
        frames = list(source)
    assert [round(frame.seconds, 3) for frame in frames] == [index / 10 for index in range(30)]
    for index, frame in enumerate(frames):
        assert abs(int(frame.pixels[-1, -1, 0]) - videos.level(index)) <= 3
    assert source.damage is None


def test_recordings_joined_end_to_end_go_on(tmp_path: Path) -> None:
    path = videos.write_video(tmp_path / "one.ts", 30, 10)
    path.write_bytes(path.read_bytes() * 3)
    seconds = times(path)
    assert len(seconds) >= 88
    assert 8.7 <= seconds[-1] <= 9.1
    assert all(0.05 < later - earlier < 0.35 for earlier, later in pairwise(seconds))


def test_a_stream_that_appears_in_the_middle_is_no_crash(tmp_path: Path) -> None:
    """One wrong bit in the number of a transport stream's packet makes one more stream of it."""
    path = videos.write_video(tmp_path / "sound.ts", 60, 25, sound=True)
    content = path.read_bytes()
    begins_sound = [at for at in range(0, len(content), 188) if content[at + 1 : at + 3] == b"\x41\x01"]
    assert len(begins_sound) > 10
    for at in begins_sound:
        path.write_bytes(content[: at + 2] + b"\x21" + content[at + 3 :])
        assert len(times(path)) == 60


def test_a_picture_that_would_fill_the_memory_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = videos.write_video(tmp_path / "large.mp4", 5)
    monkeypatch.setattr(container, "MOST_PIXELS", 1_000_000)
    assert len(times(path)) == 5
    monkeypatch.setattr(container, "MOST_PIXELS", 6_143)
    with pytest.raises(UserError, match=r"pictures of 96 x 64 in .* are more than 6,143 pixels"):
        open_source(path)
    monkeypatch.setattr(
        container, "MOST_PIXELS", 6_144
    )  # sizes may change on the way: the decoder knows the limit, too
    with open_source(path) as source, pytest.raises(UserError, match="could be decoded"):
        list(source)


def test_frames_that_are_passed_over_are_freed_at_once(tmp_path: Path) -> None:
    """PyAV keeps a frame alive that was asked for its side data, until Python looks for cycles: gigabytes at 4K."""
    path = videos.write_video(tmp_path / "clip.mp4", 60)
    gc.collect()
    gc.disable()
    try:
        with open_source(path, fps=1000) as source:
            assert sum(1 for _ in source) == 60
        assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects()) < 30
    finally:
        gc.enable()


def test_reading_says_nothing_on_standard_error(tmp_path: Path) -> None:
    path = videos.damage(videos.write_video(tmp_path / "damaged.mp4", 60), 0.5, 0.6)
    script = "import sys; from infinipot_v import open_source; list(open_source(sys.argv[1], fps=10))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script, str(path)], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
