"""Watch a video in fixed memory and ask twice; the second answer is printed as it comes.

Usage: ask.py VIDEO [MODEL [BUDGET]]. MODEL is a checkpoint folder, a hub id or pocket, the default; BUDGET is in tokens
(6144) or bytes (512MiB). The pocket model knows only its own world: pocket_video.py makes a video of it.
"""

import sys

import infinipot_v as iv

arguments = dict(enumerate(sys.argv))
model = iv.load_model(arguments.get(2, "pocket"))
session = iv.Session(model, iv.Budget.parse(arguments.get(3, "256")))
with iv.open_source(arguments[1], fps=1.0) as source:
    session.watch(source)

print("What came first?", session.ask("What came first?").text)
print("What came last?", end=" ")
for piece in session.stream("What came last?"):
    print(piece, end="", flush=True)

report = session.report()
print(f"\n{report.seen_tokens} tokens seen, {report.held_tokens} held in {report.nbytes / 2**20:.2f} MiB")
