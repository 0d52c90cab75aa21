"""What the demo's ears can tell apart."""

import io

import numpy as np
import pytest
import soundfile

from waitline.demo import sound
from waitline.demo.sound import OTHER, SILENCE, Heard, Hearing, Span, classify, named, purity, spans, tone
from waitline.media import g711

TONES = (440, 587, 784)


def through_g711(pcm):
    return g711.decode(g711.encode(pcm, "PCMU"), "PCMU")


def feed(hearing, pcm, at=0.0):
    """Feed packets of 20 ms and return what changed."""
    changes = []
    for number, start in enumerate(range(0, len(pcm) - 159, 160)):
        changes += hearing.feed(pcm[start : start + 160], at + number * 0.02)
    return changes


@pytest.mark.parametrize("hz", TONES)
def test_a_tone_that_went_through_a_telephone_is_told_from_the_others(hz):
    heard = through_g711(tone(hz, 0.1))
    assert purity(heard, hz) > 0.99
    assert max(purity(heard, other) for other in TONES if other != hz) < 0.05
    assert classify(heard, TONES) == named(hz)


def test_a_tone_nobody_named_is_another_sound():
    assert classify(tone(1000, 0.1), TONES) == OTHER


def test_two_tones_at_once_are_neither():
    assert classify((tone(440, 0.1) // 2 + tone(587, 0.1) // 2).astype(np.int16), TONES) == OTHER


def test_noise_is_another_sound():
    assert classify(np.random.default_rng(1).normal(0, 3000, 800).astype(np.int16), TONES) == OTHER


def test_nothing_and_next_to_nothing_are_silence():
    assert classify(np.zeros(0, np.int16), TONES) == SILENCE
    assert classify(np.full(800, 8, np.int16), TONES) == SILENCE
    assert purity(np.zeros(800, np.int16), 440) == 0.0


def test_a_change_is_told_once_with_the_time_it_began():
    hearing = Hearing(TONES)
    assert feed(hearing, tone(440, 0.5), at=10.0) == [Heard("440 Hz", 10.0)]
    assert feed(hearing, tone(440, 0.5), at=10.5) == []
    assert feed(hearing, tone(587, 0.5), at=11.0) == [Heard("587 Hz", 11.0)]


def test_a_single_window_of_something_else_is_no_change():
    hearing = Hearing(TONES)
    feed(hearing, tone(440, 0.5))
    assert feed(hearing, tone(587, 0.1), at=0.5) == []
    assert feed(hearing, tone(440, 0.5), at=0.6) == []
    assert feed(hearing, tone(587, 0.1), at=1.1) == []


def test_two_different_windows_in_a_row_are_no_change_yet():
    hearing = Hearing(TONES)
    assert feed(hearing, np.concatenate([tone(440, 0.1), tone(587, 0.1)])) == []
    assert feed(hearing, tone(587, 0.1), at=0.2) == [Heard("587 Hz", 0.1)]


def test_what_is_heard_lasts_until_the_next_begins():
    heard = [Heard("440 Hz", 1.0), Heard("silence", 3.0)]
    assert spans(heard, 3.5) == [Span("440 Hz", 1.0, 3.0), Span("silence", 3.0, 3.5)]
    assert spans(heard, 3.5)[0].seconds == 2.0
    assert spans([], 1.0) == []


def test_a_stream_that_ended_before_its_last_change_counts_as_nothing():
    assert spans([Heard("440 Hz", 2.0)], 1.0)[0].seconds == 0.0


def test_a_wav_file_holds_the_sound_and_its_rate():
    pcm = tone(440, 0.25, rate=16_000)
    back, rate = soundfile.read(io.BytesIO(sound.wav(pcm, 16_000)), dtype="int16")
    assert rate == 16_000
    assert np.array_equal(back, pcm)


def test_a_fade_begins_and_ends_in_silence():
    faded = tone(440, 1.0, fade_s=0.1)
    assert abs(int(faded[0])) < 10
    assert abs(int(faded[-1])) < 200
    assert np.max(np.abs(faded)) > 8000
