import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from waitline.errors import MediaUnavailable
from waitline.media import g711
from waitline.media.frame_store import Extents, FrameStore, encode, map_frames, store_bytes, write_frames

END = 64


class ExtentsAgainstAPlainArray(RuleBasedStateMachine):
    """The model is one owner a number."""

    def __init__(self) -> None:
        super().__init__()
        self.extents = Extents(1, END)
        self.owner: list[int] = [0] * END
        self.held: dict[int, int] = {}

    @rule(length=st.integers(1, END))
    def allocate(self, length: int) -> None:
        start = self.extents.allocate(length)
        if start is None:
            assert not any(not any(self.owner[at : at + length]) for at in range(1, END - length + 1))
            return
        assert not any(self.owner[start : start + length])
        assert 1 <= start <= END - length
        self.owner[start : start + length] = [1] * length
        self.held[start] = length

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        start = data.draw(st.sampled_from(sorted(self.held)))
        length = self.held.pop(start)
        self.extents.release(start, length)
        self.owner[start : start + length] = [0] * length
        with pytest.raises(ValueError, match="were not allocated"):
            self.extents.release(start, length)

    @invariant()
    def free_runs_are_exactly_what_nobody_owns_and_never_touch(self) -> None:
        runs = self.extents.runs
        assert {at for start, length in runs for at in range(start, start + length)} == {at for at in range(1, END) if not self.owner[at]}
        assert all(start + length < after for (start, length), (after, _) in pairwise(runs))


TestExtents = ExtentsAgainstAPlainArray.TestCase
TestExtents.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_the_smallest_run_that_fits_is_taken() -> None:
    extents = Extents(1, 100)
    starts = [extents.allocate(length) for length in (10, 5, 10, 3, 10)]
    extents.release(starts[1], 5)  # type: ignore[arg-type]
    extents.release(starts[3], 3)  # type: ignore[arg-type]
    assert extents.allocate(3) == starts[3]


@pytest.mark.parametrize(("start", "length"), [(0, 1), (1, 0), (99, 2), (50, 1), (12, 3)])
def test_what_was_not_allocated_cannot_be_released(start: int, length: int) -> None:
    extents = Extents(1, 100)
    extents.allocate(12)
    with pytest.raises(ValueError, match="not allocated"):
        extents.release(start, length)


def test_frame_zero_is_silence_in_each_codec_and_is_never_given_away() -> None:
    store = FrameStore.in_memory(4)
    assert set(store.frames[0, 0].tolist()) == {0xFF}
    assert set(store.frames[1, 0].tolist()) == {0xD5}
    assert store.allocate(3) == 1
    with pytest.raises(MediaUnavailable):
        store.allocate(1)
    store.release(1, 3)
    assert store.free == 3


def test_what_is_written_through_one_mapping_is_read_through_another() -> None:
    fd = os.memfd_create("frames")
    os.ftruncate(fd, store_bytes(10))
    store, worker = FrameStore.on_fd(fd), map_frames(fd)
    os.close(fd)
    assert store.capacity == 10
    write_frames(worker, 3, np.full((2, 2, 160), 7, dtype=np.uint8))
    assert store.frames[:, 3:5].min() == 7
    assert store.frames[:, 5].max() == 0
    store.write(5, np.full((2, 1, 160), 9, dtype=np.uint8))
    assert worker[:, 5].min() == 9


@given(samples=st.integers(0, 2000))
def test_a_sound_becomes_whole_frames_within_half_a_frame_of_its_length(samples: int) -> None:
    frames = encode(np.full(samples, 1000, dtype=np.int16))
    assert frames.shape[0] == 2
    assert frames.shape[2] == 160
    assert frames.shape[1] >= 1
    assert abs(frames.shape[1] * 160 - samples) <= 80 or frames.shape[1] == 1


def test_both_codecs_carry_the_same_sound() -> None:
    pcm = (np.sin(np.arange(1600) / 3) * 20000).astype(np.int16)
    frames = encode(pcm)
    for codec, name in enumerate(("PCMU", "PCMA")):
        heard = g711.decode(frames[codec].reshape(-1), name).astype(int)
        assert np.abs(heard - pcm).max() < 700


def test_a_run_that_another_control_had_is_reserved_once():
    store = FrameStore.in_memory(100)
    assert store.reserve(10, 5)
    assert not store.reserve(14, 2)
    assert store.free == 94
    store.release(10, 5)
    assert store.free == 99
