"""Writes pictures to an ordinary video file."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath

from infinipot_v.pocket.render import SCALE, Bytes
from infinipot_v.pocket.textures import PICTURE


def write_video(path: str | PathLike[str], pictures: Iterable[Bytes], fps: int, crf: int) -> None:
    """Encode uint8 [224, 224, 3] pictures with H.264 into the container named by the suffix."""
    import av

    with av.open(fspath(path), "w") as container:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width = stream.height = PICTURE * SCALE
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 32
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
