"""Draws docs/idea.svg, the picture of the idea. Standard library only: `python docs/make_idea.py`.

The shares are those of the defaults: 8 steps of 4 tokens fill 32 slots; 24 stay, of which 4 are recent, 8 are TaR
picks and 12 are VaN picks. Which past slots are picked here is made up.
"""

from __future__ import annotations

from pathlib import Path

W, H = 1140, 818
INK, SOFT, LINE, PALE = "#1f2933", "#52606d", "#9aa5b1", "#eef1f4"
TAR, VAN, RECENT, ROOM, PREFIX, GREY = "#e8833a", "#3f9c6b", "#3b7dd8", "#8a63d2", "#7b8794", "#d9dee4"
SLOT, X0 = 24, 62
STREAM_X, ROOM_X = X0 + 3 * SLOT + 14, X0 + 35 * SLOT + 28
BEFORE, AFTER = 252, 362
TAR_PICKS = {0, 3, 6, 9, 14, 17, 21, 26}
VAN_PICKS = {1, 4, 5, 8, 11, 12, 15, 19, 20, 23, 24, 27}

out: list[str] = []


def put(tag: str, text: str | None = None, **attributes: object) -> None:
    listed = " ".join(f'{name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    out.append(f"<{tag} {listed}/>" if text is None else f"<{tag} {listed}>{text}</{tag}>")


def words(
    x: float, y: float, text: str, size: int = 18, fill: str = SOFT, anchor: str = "start", bold: bool = False
) -> None:
    weight = 700 if bold else 400
    put("text", text, x=x, y=y, font_size=size, fill=fill, text_anchor=anchor, font_weight=weight)


def heading(y: float, number: int, text: str, rest: str = "", x: float = 26) -> None:
    put("circle", cx=x + 14, cy=y - 7, r=15, fill=INK)
    words(x + 14, y, str(number), 18, "#ffffff", "middle", bold=True)
    tail = f'<tspan font-weight="400" fill="{SOFT}" font-size="18" dx="10">{rest}</tspan>' if rest else ""
    words(x + 38, y, text + tail, 21, INK, bold=True)


def arrow(path: str, colour: str = SOFT, dashed: bool = False) -> None:
    more = {"stroke_dasharray": "6 5"} if dashed else {}
    put("path", d=path, fill="none", stroke=colour, stroke_width=2.5, marker_end=f"url(#head{colour[1:]})", **more)


def slot(x: float, y: float, fill: str, dashed: bool = False) -> None:
    more = {"stroke_dasharray": "3 3"} if dashed else {}
    put("rect", x=x + 1.5, y=y, width=SLOT - 3, height=32, rx=4, fill=fill, stroke=LINE if dashed else "none", **more)


def frame(x: float, y: float, ball: float, star: bool, now: bool) -> None:
    """A table, a cupboard, and a ball that moves: what repeats, and what does not."""
    border = {"stroke": INK, "stroke_width": 2.5} if now else {"stroke": LINE, "stroke_width": 1.5}
    put("rect", x=x, y=y, width=112, height=76, rx=6, fill="#fbfcfd", **border)
    put("rect", x=x + 8, y=y + 12, width=22, height=44, rx=2, fill=GREY)
    put("rect", x=x + 4, y=y + 56, width=104, height=6, rx=2, fill="#c3b7a4")
    put("circle", cx=x + ball, cy=y + 47, r=9, fill=TAR)
    if star:
        put("path", d=star_path(x + 88, y + 24), fill=VAN)


def star_path(x: float, y: float) -> str:
    points = [(0, -13), (3.5, -4.5), (13, -4), (5.5, 2), (8, 11), (0, 6), (-8, 11), (-5.5, 2), (-13, -4), (-3.5, -4.5)]
    return "M" + " L".join(f"{x + a:.1f} {y + b:.1f}" for a, b in points) + " Z"


def watching() -> None:
    heading(42, 1, "Watch.", "Frames become steps of tokens; each step is run once.")
    for index, (ball, star) in enumerate([(44, False), (60, True), (76, False), (92, False)]):
        frame(62 + 132 * index, 66, ball, star, index == 3)
    words(62 + 132 * 3 + 56, 166, "now", 18, INK, "middle")
    words(62 + 56, 166, "earlier", 18, SOFT, "middle")
    arrow("M584 104 H640")
    put("rect", x=652, y=76, width=176, height=56, rx=8, fill=PALE, stroke=LINE, stroke_width=1.5)
    words(740, 110, "vision + LLM", 19, INK, "middle")
    for index in range(4):
        put("rect", x=884 + 30 * (index % 2), y=76 + 30 * (index // 2), width=26, height=26, rx=4, fill=RECENT)
    arrow("M832 104 H874")
    words(952, 100, "keys and values", 18)
    words(952, 122, "of one step", 18)
    arrow(f"M912 142 C912 190 {STREAM_X + 30 * SLOT} 182 {STREAM_X + 30 * SLOT} {BEFORE - 12}", RECENT)


def colour_of(index: int) -> str:
    return RECENT if index >= 28 else TAR if index in TAR_PICKS else VAN if index in VAN_PICKS else GREY


def slots() -> None:
    heading(216, 2, "Full? Compact in place.", "The number of slots never changes.")
    kept = [index for index in range(32) if colour_of(index) != GREY]
    for index in range(3):
        slot(X0 + SLOT * index, BEFORE, PREFIX)
        slot(X0 + SLOT * index, AFTER, PREFIX)
    for place, index in enumerate(kept):
        a, b = STREAM_X + SLOT * (index + 0.5), STREAM_X + SLOT * (place + 0.5)
        path = f"M{a} {BEFORE + 34} C{a} {BEFORE + 70} {b} {AFTER - 38} {b} {AFTER - 3}"
        put("path", d=path, fill="none", stroke=colour_of(index), stroke_width=1.8, opacity=0.75)
    for index in range(32):
        slot(STREAM_X + SLOT * index, BEFORE, colour_of(index))
        filled = index < len(kept)
        slot(STREAM_X + SLOT * index, AFTER, colour_of(kept[index]) if filled else "#ffffff", dashed=not filled)
    for index in range(6):
        slot(ROOM_X + SLOT * index, BEFORE, "#ffffff", dashed=True)
        slot(ROOM_X + SLOT * index, AFTER, ROOM if index < 5 else "#ffffff", dashed=index >= 5)
    words(X0 + 36, AFTER + 56, "prefix", 18, SOFT, "middle")
    words(STREAM_X + 12 * SLOT, AFTER + 56, "stream: at most |M| slots, here 32", 18, SOFT, "middle")
    words(STREAM_X + 28 * SLOT, AFTER + 56, "free again", 18, SOFT, "middle")
    words(ROOM_X + 3 * SLOT, AFTER + 56, "room", 18, SOFT, "middle")


def legend() -> None:
    rows = [
        (X0, 458, TAR, "TaR: keys that differ from now"), (X0, 488, VAN, "VaN: large values"),
        (X0 + 336, 458, RECENT, "the most recent steps"), (X0 + 336, 488, GREY, "dropped"),
    ]  # fmt: skip
    for x, y, colour, text in rows:
        put("rect", x=x, y=y - 15, width=18, height=18, rx=4, fill=colour)
        words(x + 28, y, text)


def asking() -> None:
    heading(464, 3, "Ask at any time.", x=684)
    put("rect", x=684, y=478, width=304, height=38, rx=10, fill="#f3eefc", stroke=ROOM, stroke_width=1.5)
    words(836, 503, "What went into the drawer?", 18, INK, "middle")
    x = ROOM_X + 3 * SLOT
    arrow(f"M990 497 C{x + 0} 497 {x + 16} 470 {x + 16} {AFTER + 66}", ROOM)
    words(684, 544, "Answered in the room, then rolled back.")


def curve() -> None:
    left, right, floor, cap = 86, 1096, 776, 664
    heading(596, 4, "Memory over time")
    put("path", d=f"M{left} 618 V{floor} H{right}", fill="none", stroke=INK, stroke_width=2)
    words(right, floor + 26, "hours of video", 18, SOFT, "end")
    turned = {"transform": f"rotate(-90 {left - 20} {floor - 70})", "text_anchor": "middle"}
    put("text", "slots filled", x=left - 20, y=floor - 70, font_size=18, fill=SOFT, **turned)
    put("path", d=f"M{left} {cap} H{right}", stroke=INK, stroke_width=2, stroke_dasharray="8 6", fill="none")
    words(right, cap - 12, "the cap", 18, INK, "end", bold=True)
    put("path", d=f"M{left} {floor} L{left + 236} 618", stroke=LINE, stroke_width=3, fill="none")
    words(left + 250, 632, "full cache: grows until memory ends", 18)
    full, kept, x = floor - cap, 0.75 * (floor - cap), left + 168.0
    points = [f"M{left} {floor}", f"L{x} {cap}"]
    slope = full / (x - left)
    while x < right - 50:
        points += [f"L{x:.1f} {floor - kept:.1f}", f"L{x + (full - kept) / slope:.1f} {cap}"]
        x += (full - kept) / slope
    put("path", d=" ".join(points), stroke=RECENT, stroke_width=3, fill="none", stroke_linejoin="round")
    words(left + 190, floor - 52, "this memory: fills, compacts, fills again", 18, RECENT)
    for at in (240, 430, 540):
        put("path", d=f"M{left + at} {floor - 14} l9 14 h-18 Z", fill=ROOM)
    words(left + 540 + 22, floor - 10, "questions: asked at any time, no trace left", 18, ROOM)


def main() -> None:
    heads = "".join(
        f'<marker id="head{c[1:]}" viewBox="0 0 10 10" refX="7" refY="5" markerWidth="6" markerHeight="6" '
        f'orient="auto"><path d="M0 0 L10 5 L0 10 Z" fill="{c}"/></marker>'
        for c in (SOFT, RECENT, ROOM)
    )
    put("rect", x=0, y=0, width=W, height=H, rx=14, fill="#ffffff")
    for part in (watching, slots, legend, asking, curve):
        part()
    title = "Frames become tokens in a fixed row of slots that is compacted in place; questions come and go."
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" width="{W}" height="{H}" role="img" '
    head += 'font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif">'
    text = "\n".join([head, f"<title>{title}</title>", f"<defs>{heads}</defs>", *out, "</svg>"])
    Path(__file__).with_name("idea.svg").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
