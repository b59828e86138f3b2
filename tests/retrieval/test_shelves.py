"""Where keys and values are kept: bit for bit what was put there, as many bytes as it says, and gone afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infinipot_v.cache.slots import Shape
from infinipot_v.retrieval.shelves import Shelves
from infinipot_v.retrieval.stretch import Stretch
from infinipot_v.types import UserError


def shape_of(dtype=torch.float32, heads=3, key_dim=4, value_dim=6):
    return Shape(heads, key_dim, value_dim, dtype, torch.device("cpu"))


def stretch(shape, tokens, seed):
    torch.manual_seed(seed)
    return Stretch(
        torch.randn(shape.heads, tokens, shape.key_dim).to(shape.dtype),
        torch.randn(shape.heads, tokens, shape.value_dim).to(shape.dtype),
    )


def same(one: Stretch, other: Stretch) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


acts = st.lists(st.one_of(st.tuples(st.just("put"), st.integers(1, 9)), st.tuples(st.just("cut"), st.integers(0, 9))))


@settings(deadline=None, max_examples=60)
@given(acts, st.sampled_from([torch.float32, torch.bfloat16, torch.float16]), st.booleans())
def test_a_shelf_is_a_list_of_blocks(tmp_path_factory, acts, dtype, on_disk):
    """Whatever is put, cut off the end, and put again, in files and in memory."""
    shape, folder = shape_of(dtype), tmp_path_factory.mktemp("shelves")
    shelves = Shelves(folder if on_disk else "memory", [shape, shape])
    shelf, expected = shelves.layers[1], []
    for seed, (act, number) in enumerate(acts):
        if act == "put":
            block = stretch(shape, number, seed)
            shelf.put(block)
            expected.append(Stretch(*(t.clone() for t in block.tensors())))
            for tensor in block.tensors():
                tensor.zero_()  # what is kept is a copy
        else:
            shelf.cut(min(number, len(expected)))
            del expected[number:]
        assert all(same(shelf.get(index), block) for index, block in enumerate(expected))
        assert shelf.nbytes == shelves.nbytes == sum(block.nbytes for block in expected)
        if on_disk:
            assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) == shelf.nbytes
    shelves.close()
    assert list(folder.iterdir()) == []


def test_two_sessions_share_a_folder_and_leave_it_clean(tmp_path):
    (tmp_path / "mine.txt").write_text("stays")
    one, other = (Shelves(tmp_path, [shape_of()]) for _ in range(2))
    for seed, shelves in enumerate((one, other)):
        shelves.layers[0].put(stretch(shape_of(), 5, seed))
    assert same(one.layers[0].get(0), stretch(shape_of(), 5, 0))
    assert same(other.layers[0].get(0), stretch(shape_of(), 5, 1))
    one.close()
    one.close()
    assert same(other.layers[0].get(0), stretch(shape_of(), 5, 1)), "closing one leaves the other alone"
    del other, shelves
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_stays_when_the_process_ends(tmp_path):
    script = f"""
import torch
from infinipot_v.cache.slots import Shape
from infinipot_v.retrieval.shelves import Shelves
shelves = Shelves({str(tmp_path)!r}, [Shape(1, 2, 2, torch.float32, torch.device("cpu"))])
print(sum(1 for _ in shelves.folder.iterdir()))
raise SystemExit(3)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (3, "1"), ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    for where, says in ((tmp_path / "none", "make it"), (Path("/proc"), "choose another")):
        with pytest.raises(UserError, match=says) as raised:
            Shelves(where, [shape_of()])
        assert str(where) in str(raised.value) and "\n" not in str(raised.value)
