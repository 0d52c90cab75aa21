"""G.711 against the C implementation that Python carried until 3.12, and by its own properties."""

import warnings

import numpy as np
import pytest

from waitline.media import g711

ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)
ALL_CODES = np.arange(256, dtype=np.uint8)


@pytest.fixture
def audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop")


def test_every_sample_encodes_as_the_c_reference_says(audioop):
    assert g711.encode_ulaw(ALL_SAMPLES).tobytes() == audioop.lin2ulaw(ALL_SAMPLES.tobytes(), 2)
    assert g711.encode_alaw(ALL_SAMPLES).tobytes() == audioop.lin2alaw(ALL_SAMPLES.tobytes(), 2)


def test_every_code_decodes_as_the_c_reference_says(audioop):
    assert g711.decode(ALL_CODES, "PCMU").tobytes() == audioop.ulaw2lin(ALL_CODES.tobytes(), 2)
    assert g711.decode(ALL_CODES, "PCMA").tobytes() == audioop.alaw2lin(ALL_CODES.tobytes(), 2)


@pytest.mark.parametrize("codec", g711.CODECS)
def test_a_code_survives_decoding_and_encoding(codec):
    again = g711.encode(g711.decode(ALL_CODES, codec), codec)
    assert np.array_equal(g711.decode(again, codec), g711.decode(ALL_CODES, codec))


@pytest.mark.parametrize("codec", g711.CODECS)
def test_silence_is_the_code_of_zero(codec):
    assert g711.encode(np.zeros(1, np.int16), codec)[0] == g711.SILENCE[codec]


def test_translation_is_decode_then_encode_and_keeps_near_silence():
    table = g711.translation("PCMU", "PCMA")
    assert table is not None
    pcm = g711.decode(ALL_CODES, "PCMU")
    assert bytes(ALL_CODES).translate(table) == g711.encode(pcm, "PCMA").tobytes()
    assert abs(int(g711.decode(np.frombuffer(b"\xff".translate(table), np.uint8), "PCMA")[0])) <= 8


def test_nothing_is_translated_between_equals():
    assert g711.translation("PCMA", "PCMA") is None
