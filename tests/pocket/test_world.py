"""The world: what the script says is what the pictures show."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest

from infinipot_v.pocket import DEV, TEST, TRAIN, make_stream, split_of
from infinipot_v.pocket.levels import LEVELS
from infinipot_v.pocket.lexicon import COLOURS, DISTRACTORS, KINDS, SIZES
from infinipot_v.pocket.render import clean_frame
from infinipot_v.pocket.scene import MARGIN, MIDDLE, MOST_AT_ONCE, Thing
from infinipot_v.pocket.sprites import atlas, draw
from infinipot_v.pocket.textures import PICTURE, plate

RGB = np.array(list(COLOURS.values()), dtype=float)


def box_of(thing: Thing, frame: int) -> tuple[slice, slice]:
    """Rows and columns a thing fills in a frame."""
    x, y = thing.path.centre(frame)
    top, left = int(np.floor(y - thing.size / 2 + 0.5)), int(np.floor(x - thing.size / 2 + 0.5))
    return slice(top, top + thing.size), slice(left, left + thing.size)


def test_same_seed_same_bytes() -> None:
    once, again, other = (make_stream(seed, 8) for seed in (3, 3, 4))
    shown = [sha256(b"".join(picture.tobytes() for _, picture in s.frames())).digest() for s in (once, again, other)]
    assert shown[0] == shown[1] != shown[2]
    assert once.questions == again.questions


def test_frames_come_once_a_second_in_camera_size() -> None:
    frames = list(make_stream(1, 6).frames())
    assert [seconds for seconds, _ in frames] == [float(i) for i in range(12)]
    assert all(picture.shape == (224, 224, 3) and picture.dtype == np.uint8 for _, picture in frames)


@pytest.mark.parametrize("level", LEVELS)
def test_every_thing_shows_its_colour_where_and_while_it_is_there(level: str) -> None:
    for seed in range(6):
        stream = make_stream(seed, 24, level)
        for thing in stream.scene.things:
            for frame in {thing.first, (thing.first + thing.last) // 2, thing.last - 1}:
                picture = clean_frame(stream.plan, frame) / stream.plan.gain[frame]
                assert nearest_colour(picture, thing, frame) == thing.colour


def nearest_colour(picture: np.ndarray, thing: Thing, frame: int) -> int:
    """The world's colour that most of a thing's full-shade pixels are nearest to."""
    index = SIZES.index(thing.size)
    solid = (atlas().alpha[thing.kind, index] == 1) & (atlas().shade[thing.kind, index] > 0.99)
    rows, columns = box_of(thing, frame)
    bare = plate()[0][rows, columns] == 0
    pixels = picture[rows, columns][solid[: thing.size, : thing.size] & bare]
    votes = ((pixels[:, None] - RGB) ** 2).sum(-1).argmin(-1)
    return int(np.bincount(votes).argmax())


def test_nothing_saturated_is_where_no_thing_is() -> None:
    for seed in range(4):
        stream = make_stream(seed, 16)
        for frame in range(0, 32, 5):
            picture = clean_frame(stream.plan, frame)
            for thing in stream.scene.things:
                if thing.first <= frame < thing.last:
                    picture[box_of(thing, frame)] = 128
            assert (picture.max(-1) - picture.min(-1)).max() < 90


def test_things_stay_whole_apart_and_few() -> None:
    for seed in range(30):
        scene = make_stream(seed, 64).scene
        for frame in range(scene.frames):
            shown = [thing for thing in scene.things if thing.first <= frame < thing.last]
            assert len(shown) <= MOST_AT_ONCE
            covered = np.zeros((PICTURE, PICTURE), dtype=int)
            for thing in shown:
                rows, columns = box_of(thing, frame)
                assert min(rows.start, columns.start) >= 0
                assert max(rows.stop, columns.stop) <= PICTURE
                covered[rows, columns] += 1
            assert covered.max() <= 1


def test_a_place_is_kept_all_the_time() -> None:
    for seed in range(30):
        for thing in make_stream(seed, 32).scene.things:
            if thing.place is None:
                continue
            for frame in range(thing.first, thing.last):
                x, y = thing.path.centre(frame)
                assert min(abs(x - MIDDLE), abs(y - MIDDLE)) >= MARGIN - 1e-6
                assert thing.place == int(x > MIDDLE) + 2 * int(y > MIDDLE)


def test_things_end_with_their_shot_and_appear_apart() -> None:
    for seed in range(30):
        scene = make_stream(seed, 64).scene
        onsets = [thing.first for thing in scene.things]
        assert all(b - a >= 2 for a, b in pairwise(onsets))
        assert [shot.first for shot in scene.shots[1:]] == [shot.last for shot in scene.shots[:-1]]
        for thing in scene.things:
            assert any(shot.first <= thing.first < thing.last <= shot.last for shot in scene.shots)


def test_static_stretches_are_static() -> None:
    stream = make_stream(0, 16, "free")
    empty = [f for f in range(31) if not any(t.first <= f + 1 and f < t.last for t in stream.scene.things)]
    for frame in empty:
        assert np.array_equal(clean_frame(stream.plan, frame), clean_frame(stream.plan, frame + 1))


def test_there_is_enough_to_see() -> None:
    assert len(KINDS) >= 10
    assert len(COLOURS) >= 8
    assert not set(KINDS) & set(DISTRACTORS)
    shapes = [draw(kind, 44)[0] for kind in KINDS + DISTRACTORS]
    apart = [np.abs(a - b).mean() for i, a in enumerate(shapes) for b in shapes[:i]]
    assert min(apart) > 0.08


def test_splits_are_disjoint() -> None:
    spans = sorted((DEV, TEST, TRAIN), key=lambda span: span.start)
    assert all(a.stop <= b.start for a, b in pairwise(spans))
    assert [split_of(s) for s in (0, TEST.start, TRAIN.start)] == ["dev", "test", "train"]
    with pytest.raises(ValueError, match="belongs to no split"):
        split_of(-1)


def test_a_stream_may_last_for_hours() -> None:
    stream = make_stream(5, 3600)
    assert stream.seconds == 7200
    assert len(stream.scene.things) > 12
    assert len(stream.questions) > 12
    assert max(question.delay_seconds for question in stream.questions) > 600


def test_bad_arguments_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="known levels: aligned"):
        make_stream(0, 8, "hard")
    with pytest.raises(ValueError, match="at least 4"):
        make_stream(0, 3)
