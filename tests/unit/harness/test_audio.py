"""The judge is judged: tones, likeness and G.711 against known values."""

import numpy as np
import pytest
from harness import audio


@pytest.mark.parametrize(
    ("codec", "code", "value"), [("PCMU", 0xFF, 0), ("PCMU", 0x80, 32124), ("PCMU", 0x00, -32124), ("PCMA", 0xD5, 8), ("PCMA", 0xAA, 32256)]
)
def test_g711_codes_have_the_values_of_the_recommendation(codec, code, value):
    assert audio.decode(bytes([code]), codec)[0] == value


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_what_is_encoded_decodes_to_nearly_the_same(codec):
    pcm = audio.tone(440, 0.1)
    assert np.corrcoef(pcm, audio.decode(audio.encode(pcm, codec), codec))[0, 1] > 0.999
    codes = bytes(range(256))
    assert (audio.decode(audio.encode(audio.decode(codes, codec), codec), codec) == audio.decode(codes, codec)).all()


def test_a_tone_is_told_from_another():
    pcm = audio.tone(440, 0.2)
    assert audio.goertzel(pcm, 440) == pytest.approx(8000, rel=0.01)
    assert audio.purity(pcm, 440) > 0.99
    assert audio.purity(pcm, 480) < 0.01
    assert audio.loudest_tone(pcm) == pytest.approx(440, abs=6)


def test_a_piece_is_found_where_it_was_cut():
    clip = np.random.default_rng(1).normal(0, 3000, 16000).astype(np.int16)
    found = audio.find((clip[5000:9000] // 2).astype(np.int16), clip)
    assert found.offset == 5000
    assert found.score > 0.99


def test_a_piece_over_the_seam_of_a_loop_is_found():
    clip = np.random.default_rng(1).normal(0, 3000, 16000).astype(np.int16)
    found = audio.find(np.concatenate([clip[-2000:], clip[:2000]]), clip, looped=True)
    assert found.offset == 14000
    assert found.score > 0.99


def test_other_sound_and_silence_are_like_nothing():
    random = np.random.default_rng(1)
    clip, other = (random.normal(0, 3000, 16000).astype(np.int16) for _ in range(2))
    assert audio.find(other[:4000], clip).score < 0.1
    assert audio.find(np.zeros(4000, np.int16), clip).score == 0


def test_silence_is_measured():
    pcm = np.concatenate([audio.tone(440, 0.1), np.zeros(1600, np.int16), audio.tone(440, 0.1)])
    assert audio.longest_silence_s(pcm) == pytest.approx(0.2, abs=0.03)
    assert audio.is_silent(pcm[800:2400])


def test_a_wav_file_comes_back(tmp_path):
    pcm = audio.tone(440, 0.1)
    assert (audio.read_wav(audio.write_wav(tmp_path / "x.wav", pcm)) == pcm).all()
