import numpy as np
import pytest

from waitline.media import tones
from waitline.media.tones import Pcm


def power(pcm: Pcm, hertz: float) -> float:
    """Share of the power at one frequency (Goertzel, by its definition)."""
    wave = pcm.astype(float)
    at = np.exp(-2j * np.pi * hertz * np.arange(len(wave)) / tones.RATE)
    return float(2 * abs(wave @ at) ** 2 / (len(wave) * (wave @ wave)))


@pytest.mark.parametrize(("key", "low", "high"), [("1", 697, 1209), ("5", 770, 1336), ("9", 852, 1477), ("#", 941, 1477), ("D", 941, 1633)])
def test_a_key_is_its_two_frequencies(key: str, low: int, high: int) -> None:
    pcm = tones.keys(key)[:800]
    assert power(pcm, low) > 0.4
    assert power(pcm, high) > 0.4


def test_keys_take_their_time_and_their_pauses() -> None:
    assert len(tones.keys("1wW#")) == (0.2 + 0.5 + 1.0 + 0.2) * 8000
    with pytest.raises(KeyError):
        tones.keys("x")


def test_ringing_sounds_and_is_silent_as_in_its_country() -> None:
    assert len(tones.ringing()) == 6 * 8000
    assert power(tones.ringing("us")[:16000], 440) > 0.4
    assert not tones.ringing("us")[16000:].any()
    assert len(tones.ringing("uk")) == 3 * 8000
    assert power(tones.ringing("de")[:8000], 425) > 0.9


def test_every_ringing_tone_is_whole_frames_long() -> None:
    assert all(len(tones.ringing(country)) % 160 == 0 for country in tones.RINGING)


@pytest.mark.parametrize("pcm", [tones.beep(), tones.instead_of_speech(), tones.keys("5"), tones.ringing("jp")])
def test_a_tone_begins_and_ends_at_zero_and_is_not_too_loud(pcm: Pcm) -> None:
    assert pcm[0] == 0
    assert pcm[-1] == 0
    assert 2000 < np.abs(pcm.astype(int)).max() <= 0.41 * 32767
