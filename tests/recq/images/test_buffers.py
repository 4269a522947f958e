"""Memory that is used again, and never while anybody can still see what was in it."""

from __future__ import annotations

import numpy as np
import pytest

from recq.images.buffers import Buffers


def address(block: np.ndarray) -> int:
    return block.__array_interface__["data"][0]  # type: ignore[no-any-return]


def test_a_block_is_used_again_when_nobody_refers_to_it() -> None:
    buffers = Buffers()
    block = buffers.take(12)
    first = address(block)
    del block
    assert address(buffers.take(12)) == first


@pytest.mark.parametrize(
    "view",
    [
        lambda block: block,
        lambda block: block.reshape(2, 2, 3),
        lambda block: block.reshape(2, 2, 3)[np.newaxis][:, 1],
        lambda block: memoryview(block),
        lambda block: memoryview(block)[3:],
        lambda block: np.frombuffer(memoryview(block), np.uint8),
        lambda block: np.asarray(block.reshape(2, 6).T),
    ],
)
def test_whatever_is_left_of_a_block_keeps_it(view: object) -> None:
    buffers = Buffers()
    block = buffers.take(12)
    block[:] = 7
    left = view(block)  # type: ignore[operator]
    del block
    others = [buffers.take(12) for _ in range(3)]
    for other in others:
        other[:] = 0
    assert set(np.asarray(left).ravel().tolist()) == {7}
    del left, other, others
    assert len({address(buffers.take(12)) for _ in range(3)}) == 1


def test_no_more_than_so_many_are_kept_and_of_one_length() -> None:
    buffers = Buffers(most=2)
    blocks = [buffers.take(8) for _ in range(5)]
    assert len({address(block) for block in blocks}) == 5
    kept = {address(block) for block in blocks[:2]}
    del blocks
    again = [buffers.take(8) for _ in range(2)]
    assert {address(block) for block in again} == kept
    longer = buffers.take(9)
    assert longer.shape == (9,)
    assert len(buffers._blocks) == 1
