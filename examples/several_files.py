"""Several videos, folders of images or images as one stream: times go on, and so does the memory.

Usage: several_files.py MODEL PATH [PATH ...], as in: several_files.py pocket morning.mp4 noon.mp4
"""

import sys

import infinipot_v as iv

model, *paths = sys.argv[1:]
session = iv.Session(iv.load_model(model), iv.Budget(tokens=256))
with iv.open_source(paths, fps=1.0) as source:
    print(f"{len(paths)} paths, {source.duration} s, {source.expected_frames} frames")
    session.watch(source)
    if source.damage:
        print("note:", source.damage)

report = session.report()
print(f"{report.frames} frames seen, {report.held_tokens} of {report.seen_tokens} tokens held")
print("What came last?", session.ask("What came last?").text)
