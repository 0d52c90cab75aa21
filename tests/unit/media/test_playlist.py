"""Programs of segments, taken apart into spans."""

import json

from hypothesis import given
from hypothesis import strategies as st

from waitline.media.playlist import FOREVER, SILENCE, Playlist, Program, Span

FRAMES = 100


def playlist(*segments, report_after=0, token=1):
    made = Playlist(FRAMES)
    made.play(Program(token, segments, report_after))
    return made


def test_a_segment_is_a_span_per_loop_and_then_silence():
    made = playlist((5, 10, 2))
    assert [made.next_span() for _ in range(4)] == [Span(5, 1, 10), Span(5, 1, 10), SILENCE, SILENCE]


def test_a_single_frame_repeats_in_one_span():
    made = playlist((0, 1, 50), (3, 1, 0))
    assert [made.next_span() for _ in range(2)] == [Span(0, 0, 50), Span(3, 0, FOREVER)]


def test_music_never_ends():
    made = playlist((5, 10, 0))
    assert {made.next_span() for _ in range(100)} == {Span(5, 1, 10)}


def test_the_token_is_through_after_the_reported_segments():
    made = playlist((1, 5, 1), (10, 5, 1), (20, 5, 0), report_after=2, token=7)
    through = []
    for _ in range(3):
        made.next_span()
        through.append(made.through)
    assert through == [0, 0, 7]


def test_a_program_that_waits_takes_over_from_the_tail():
    made = playlist((1, 5, 1), (20, 5, 0), report_after=1)
    assert not made.play_next(Program(2, ((30, 5, 1),), 1))
    assert [made.next_span().start for _ in range(3)] == [1, 30, 0]
    assert made.through == 2


def test_a_program_behind_one_that_was_reported_starts_at_once():
    made = playlist((20, 5, 0))
    assert made.play_next(Program(2, ((30, 5, 1),), 1))
    assert made.next_span().start == 30


def test_several_programs_wait_in_order():
    made = playlist((1, 5, 1), report_after=1)
    for token in (2, 3):
        made.play_next(Program(token, ((10 * token, 5, 1),), 1))
    assert [made.next_span().start for _ in range(3)] == [1, 20, 30]


def test_play_drops_what_waits():
    made = playlist((1, 5, 1), report_after=1)
    made.play_next(Program(2, ((30, 5, 1),), 1))
    made.play(Program(3, ((40, 5, 1),), 1))
    assert [made.next_span().start for _ in range(2)] == [40, 0]
    assert made.through == 3


def test_an_empty_program_is_through_at_once():
    made = playlist(report_after=1, token=4)
    assert made.through == 4
    assert made.next_span() == SILENCE


def test_more_segments_to_report_than_there_are_means_all():
    made = playlist((1, 5, 1), report_after=9, token=4)
    made.next_span()
    made.next_span()
    assert made.through == 4


def test_an_empty_segment_is_passed_over():
    assert playlist((1, 0, 0), (1, -1, 1), (1, 5, -1), (9, 2, 1)).next_span() == Span(9, 1, 2)


def test_a_segment_outside_the_store_is_silence_of_its_length():
    made = playlist((95, 10, 2), (-1, 5, 1), (3, 2, 1))
    assert [made.next_span() for _ in range(3)] == [Span(0, 0, 20), Span(0, 0, 5), Span(3, 1, 2)]
    assert made.faults == 2


segments = st.lists(st.tuples(st.integers(-2, 110), st.integers(-1, 12), st.integers(0, 3)), max_size=4)


@given(segments, st.integers(0, 5), st.integers(0, 6), segments)
def test_a_playlist_goes_on_elsewhere_as_it_would_have_here(program, report_after, steps, waiting):
    here = playlist(*program, report_after=report_after)
    here.play_next(Program(2, tuple(waiting), len(waiting)))
    for _ in range(steps):
        here.next_span()
    there = Playlist.restored(FRAMES, here.through, json.loads(json.dumps(here.dump())))
    for _ in range(10):
        assert there.next_span() == here.next_span()
        assert there.through == here.through
