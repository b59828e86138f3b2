"""Subtitles: files in their forms and encodings, tracks in videos, and how cues are laid to frames."""

from __future__ import annotations

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v import open_source
from infinipot_v.sources.captions import Cue, captioned
from infinipot_v.sources.cues import read_cues
from infinipot_v.sources.source import Span
from infinipot_v.sources.stretch import Rest, Stretch
from infinipot_v.types import Frame, UserError
from tests.videos import picture, write_video

SRT = (
    "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> there\nsecond line\n\n"
    '2\n00:00:03,000 --> 00:01:05,000\n<font color="white" size=".72c">caf\u00e9</font>\n\n'
    "3\n00:02:00,000 --> 00:02:01,000\n   \n\n"
)
VTT = (
    "WEBVTT\n\nNOTE nothing\n\n00:01.000 --> 00:02.500\nHello <b>there</b>\nsecond line\n\n"
    "intro\n00:03.000 --> 01:05.000 align:start\ncaf\u00e9\n"
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:03.00,0:01:05.00,Default,,0,0,0,,caf\u00e9\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}Hello{\\i0} there\\Nsecond line\n"
)
CUES = [Cue(1.0, 2.5, "Hello there\nsecond line"), Cue(3.0, 65.0, "caf\u00e9")]


@pytest.mark.contract
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.srt", SRT.encode()),
        ("bom.srt", SRT.encode("utf-8-sig")),
        ("wide.srt", SRT.encode("utf-16")),
        ("windows.srt", SRT.encode("cp1252")),
        ("crlf.srt", SRT.replace("\n", "\r\n").encode()),
        ("a.vtt", VTT.encode()),
        ("a.ass", ASS.encode()),
        ("no-suffix", SRT.encode()),
    ],
)
def test_every_form_is_read_alike(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert read_cues(path) == CUES


def video_with_track(path, shift=0.0):
    """A video of 20 frames, two a second, with a track of text; all its times begin at `shift` seconds."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=2)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        with av.open(str(path.with_suffix(".srt"))) as said:
            track = container.add_stream_from_template(said.streams.subtitles[0])
            packets = [packet for packet in said.demux() if packet.pts is not None]
        for packet in packets:
            packet.stream, ticks = track, round(shift / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            container.mux(packet)
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index + round(2 * shift), Fraction(1, 2)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


@pytest.mark.contract
def test_a_video_brings_its_own_track(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT.encode())
    path = video_with_track(tmp_path / "a.mkv")
    assert read_cues(path) == CUES
    with open_source(path, fps=1.0, subtitles=path) as source:
        assert [frame.text for frame in source][:4] == ["", CUES[0].text, "", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no file of subtitles|empty"),
        (b"this is no subtitle at all", "no file of subtitles"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n\n\n", "no line of text|no file of subtitles"),
        (bytes(range(256)) * 20, "no file of subtitles|no subtitles"),
    ],
)
def test_what_holds_no_text_is_refused_in_a_line(tmp_path, content, message):
    path = tmp_path / "a.srt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        open_source(write_video(tmp_path / "a.mp4"), subtitles=path)
    assert "\n" not in str(caught.value)


def test_subtitles_want_a_single_video(tmp_path):
    path, said = write_video(tmp_path / "a.mp4"), tmp_path / "a.srt"
    said.write_bytes(SRT.encode())
    with pytest.raises(UserError, match="single video"):
        open_source([path, path], subtitles=said)
    with pytest.raises(UserError, match="no such file"):
        open_source(path, subtitles=tmp_path / "b.srt")
    with pytest.raises(UserError, match="has no subtitles"):
        open_source(path, subtitles=path)
    with pytest.raises(UserError, match="is a folder"):
        open_source(path, subtitles=tmp_path)


def test_a_track_counts_from_the_start_of_its_video(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT.encode())
    shifted = video_with_track(tmp_path / "a.mkv", shift=10.0)
    assert read_cues(shifted) == CUES
    with open_source(shifted, fps=1.0, subtitles=shifted) as source:
        assert next(source).seconds == 0.0 and next(source).text == CUES[0].text


@pytest.mark.parametrize(
    ("name", "said", "text"),
    [
        ("a.srt", "code {x} here", "code {x} here"),
        ("a.srt", "<John> 2 <b and 3> 1", "<John> 2  1"),
        ("a.srt", "{\\an8}up <B>there</B> &amp; C:\\New", "up there &amp; C:\\New"),
        ("a.vtt", "bye &lt;tag&gt; <v Ann>hello</v> <00:00:01.500>now", "bye <tag> hello now"),
        ("a.vtt", "{x} a < b", "{x} a < b"),
    ],
)
def test_only_styles_are_taken_away(tmp_path, name, said, text):
    path = tmp_path / name
    head, point = ("1\n", ",") if name.endswith("srt") else ("WEBVTT\n\n", ".")
    path.write_text(f"{head}00:00:01{point}000 --> 00:00:02{point}000\n{said}\n\n")
    assert [cue.text for cue in read_cues(path)] == [text]


def test_drawings_are_not_said(tmp_path):
    path = tmp_path / "a.ass"
    path.write_text(ASS + "Dialogue: 0,0:01:20.00,0:01:30.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}a\\hb\\nc\n"
                    "Dialogue: 0,0:01:40.00,0:01:50.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0\n")  # fmt: skip
    assert [cue.text for cue in read_cues(path)] == [*(cue.text for cue in CUES), "a b c"]


def test_one_bad_line_does_not_change_the_others(tmp_path):
    path = tmp_path / "a.srt"
    lines = ["\u65e5\u672c\u8a9e".encode(), b"bad \x93quote\x94", "\u8a71\u3059".encode()]
    path.write_bytes(b"".join(b"1\n00:00:0%d,000 --> 00:00:0%d,500\n%s\n\n" % (i, i, t) for i, t in enumerate(lines)))
    assert [cue.text for cue in read_cues(path)] == ["\u65e5\u672c\u8a9e", "bad \u201cquote\u201d", "\u8a71\u3059"]


def test_a_damaged_line_is_passed_over(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nfine\n\n2\n00:00:09,000 --> 00:00:03,000\nback\n\n"
                    "3\n00:00:05,000 --> 00:00:06,000\nfine too\n")  # fmt: skip
    assert [cue.text.split("\n")[0] for cue in read_cues(path)] == ["fine", "fine too"]


# Cues and frames -----------------------------------------------------------------------------------------------------

PIXELS = np.zeros((2, 2, 3), np.uint8)


def looped(times, cues, shown):
    """LongVideoBench's rule, word for word: which texts stand behind which frame."""
    texts = [[] for _ in times]
    for cue in sorted(cues, key=lambda cue: cue.middle):
        behind = [index for index, time in enumerate(times) if time <= cue.middle]
        start, end = cue.start, cue.end
        if end - start < 1:
            start, end = cue.middle - 0.5, cue.middle + 0.5
        if behind and (not shown or any(start < time < end for time in times)):
            texts[behind[-1]].append(cue.text)
    return ["\n".join(lines) for lines in texts]


quarters = st.integers(0, 80).map(lambda n: n / 4)
spans = st.tuples(quarters, st.integers(1, 40).map(lambda n: n / 4)).map(lambda pair: (pair[0], sum(pair)))


@settings(deadline=None)
@given(times=st.sets(quarters, min_size=1), spans=st.lists(spans, max_size=12), shown=st.booleans())
def test_cues_stand_behind_the_frame_at_their_middle(times, spans, shown):
    times = sorted(times)
    cues = [Cue(start, end, f"line {index}") for index, (start, end) in enumerate(spans)]
    given_ = captioned((Frame(PIXELS, time) for time in times), cues, shown=shown)
    assert [frame.text for frame in given_] == looped(times, cues, shown)


def test_a_frame_keeps_what_it_says_itself():
    frames = [Frame(PIXELS, 0.0, "mine"), Frame(PIXELS, 2.0)]
    assert [frame.text for frame in captioned(iter(frames), [Cue(0.5, 1.0, "theirs")])] == ["mine\ntheirs", ""]


def test_what_a_source_gave_before_it_failed_is_given():
    def frames():
        yield Frame(PIXELS, 0.0)
        yield Frame(PIXELS, 1.0)
        raise UserError("gone")

    stream = captioned(frames(), [Cue(1.0, 1.2, "last words")])
    assert [next(stream).text, next(stream).text] == ["", "last words"]
    with pytest.raises(UserError, match="gone"):
        next(stream)


def test_nothing_comes_behind_a_close(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT.encode())
    source = open_source(write_video(tmp_path / "a.mp4", frames=40, fps=10), fps=5.0, subtitles=tmp_path / "a.srt")
    next(source)
    source.close()
    assert list(source) == []


def test_one_frame_is_held_and_no_more():
    given_ = []

    def frames():
        for second in range(5):
            given_.append(second)
            yield Frame(PIXELS, float(second))

    stream = captioned(frames(), [])
    for count in (2, 3, 4, 5, 5):
        next(stream)
        assert len(given_) == count


@pytest.mark.parametrize(("start", "end"), [(None, None), (1.2, None), (None, 3.0), (1.0, 2.6)])
def test_a_part_says_what_is_said_in_it(tmp_path, start, end):
    path = write_video(tmp_path / "a.mp4", frames=40, fps=10)
    said = tmp_path / "a.srt"
    said.write_text("\n".join(
        f"{i}\n00:00:0{i // 2},{500 * (i % 2) + 100:03} --> 00:00:0{i // 2},{500 * (i % 2) + 300:03}\nline {i}\n"
        for i in range(20)))  # fmt: skip
    with open_source(path, fps=2.0, start=start, end=end, subtitles=said) as source:
        heard = [line for frame in source for line in frame.text.split("\n") if line]
    first, last = start or 0.0, 4.0 if end is None else 3.0  # where the frame ends that is the last before `end`
    assert heard == [f"line {i}" for i in range(20) if first <= i / 2 + 0.2 < last]
    assert source.duration == pytest.approx(4.0) and source.damage is None


def test_a_stretch_gone_on_with_says_the_rest(tmp_path):
    """Wherever it is cut, both parts together say what the whole says, at the same frames."""
    path = write_video(tmp_path / "a.mp4", frames=40, fps=10)
    said = tmp_path / "a.srt"
    said.write_text("\n".join(
        f"{i}\n00:00:0{i // 2},{500 * (i % 2):03} --> 00:00:0{i // 2},{500 * (i % 2) + 480:03}\nline {i}\n"
        for i in range(8)))  # fmt: skip
    whole = Stretch.of([path], Span(fps=4.0), said)
    assert Stretch.from_json(whole.as_json()) == whole
    with Rest(whole) as source:
        everything = [(frame.seconds, frame.text) for frame in source]
    assert sum(bool(text) for _, text in everything) == 8
    with Rest(Stretch.of([path], Span(fps=4.0, end=1.1), said)) as source:  # an end between two frames loses nothing
        begun = [(frame.seconds, frame.text) for frame in source]
        reached = source.stretch.reached(begun[-1][0], source.over)
    with Rest(reached.until(None).after(begun[-1][0])) as source:
        assert begun + [(frame.seconds, frame.text) for frame in source] == everything
    for count in (1, 5, 6, 15):
        with Rest(whole) as source:
            begun = [(frame.seconds, frame.text) for frame in itertools.islice(source, count)]
            reached = source.stretch.reached(begun[-1][0], source.over)
        assert not reached.over
        with Rest(reached.after(begun[-1][0])) as source:
            assert begun + [(frame.seconds, frame.text) for frame in source] == everything
