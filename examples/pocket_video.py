"""Write a video of the embedded model's world, to try the other examples on, and print what can be asked about it.

Usage: pocket_video.py VIDEO [SEED]
"""

import sys

from infinipot_v.pocket import make_stream

arguments = dict(enumerate(sys.argv))
stream = make_stream(seed=int(arguments.get(2, 0)), steps=64)  # 128 frames, one a second
stream.write(arguments[1])
for question in stream.questions:
    print(f"after {question.ask_at:3.0f} s: {question.text} ({question.answer})")
