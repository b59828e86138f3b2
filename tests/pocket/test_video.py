"""A stream's file: the same number of frames, one a second, and pictures close to the camera's."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from infinipot_v.pocket import FPS, make_stream


def test_the_video_file_keeps_count_times_and_colours(tmp_path: Path) -> None:
    stream = make_stream(11, 12)
    path = tmp_path / "stream.mp4"
    stream.write(path)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height, video.codec_context.pix_fmt) == (224, 224, "yuv420p")
        decoded = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video)]
    shown = list(stream.frames())
    assert [seconds for seconds, _ in decoded] == [seconds for seconds, _ in shown]
    assert len(decoded) == stream.seconds * FPS
    for (_, got), (_, sent) in zip(decoded, shown, strict=True):
        assert np.abs(got.astype(int) - sent.astype(int)).mean() < 6
