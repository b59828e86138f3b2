"""Frames from any loop of yours, one at a time, and questions in between. Usage: live_frames.py [MODEL]

A frame is a uint8 array [height, width, 3] (RGB) and the second at which it was taken. With OpenCV, for example:
`picture = camera.read()[1][:, :, ::-1]` at `time.monotonic() - began`. Here the camera is a synthetic one.
"""

import sys

import infinipot_v as iv
from infinipot_v.pocket import make_stream

arguments = dict(enumerate(sys.argv))
session = iv.Session(iv.load_model(arguments.get(1, "pocket")), iv.Budget(tokens=256), positions="compact")

for seconds, picture in make_stream(seed=0, steps=64).frames():
    session.watch(picture, seconds=seconds)
    if seconds % 32 == 31:
        answer = session.ask("What is visible now?", remember=False)  # leaves the memory as it was
        print(f"{seconds:3.0f} s, {session.report().held_tokens} tokens held: {answer.text}")

print("What came first?", session.ask("What came first?", remember=False).text)
