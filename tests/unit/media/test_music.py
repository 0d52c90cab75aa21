import math

import numpy as np
import pytest
from numpy.typing import NDArray

from waitline.media import g711, music


@pytest.fixture(scope="module")
def loop() -> NDArray[np.int16]:
    return music.compose()


def test_the_shipped_file_is_what_the_script_makes(loop: NDArray[np.int16]) -> None:
    assert music.SHIPPED.read_bytes() == music.wav(g711.encode_ulaw(loop).tobytes())


def test_it_is_a_whole_number_of_frames_about_half_a_minute() -> None:
    assert len(music.shipped()) == 1400 * 160


def test_its_level_is_that_of_music_one_talks_over(loop: NDArray[np.int16]) -> None:
    wave = loop.astype(float)
    assert -19 < 20 * math.log10(np.sqrt(np.mean(wave**2)) / 32768) < -17
    assert np.abs(wave).max() < 0.8 * 32768
    by_half_second = np.sqrt(np.mean(wave.reshape(-1, 4000) ** 2, axis=1))
    assert by_half_second.max() / by_half_second.min() < 2.5  # neither a hole that sounds like a lost call, nor a start


def test_its_end_runs_into_its_beginning(loop: NDArray[np.int16]) -> None:
    steps = np.abs(np.diff(np.concatenate([loop, loop[:1]]).astype(int)))
    assert steps[-1] <= np.percentile(steps, 90)


def test_it_lies_where_a_telephone_has_a_voice(loop: NDArray[np.int16]) -> None:
    spectrum = np.abs(np.fft.rfft(loop.astype(float))) ** 2
    hertz = np.fft.rfftfreq(len(loop), 1 / 8000)
    assert spectrum[(hertz > 180) & (hertz < 3000)].sum() / spectrum.sum() > 0.95


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF" + bytes(16) + b"\x01\x00" + bytes(40)])
def test_another_file_is_not_taken_for_it(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a µ-law WAV file"):
        music.wav_samples(data)
