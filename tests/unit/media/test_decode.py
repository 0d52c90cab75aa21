import contextlib
import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from waitline.errors import AudioError
from waitline.media import g711
from waitline.media.decode import decode

HERTZ = 440.0


def wave(rate: int, *, seconds: float = 0.5, channels: int = 1) -> Any:
    mono = 0.3 * np.sin(2 * np.pi * HERTZ * np.arange(int(seconds * rate)) / rate)
    return np.stack([mono] * channels, axis=1)


def file(rate: int = 16000, *, seconds: float = 0.5, channels: int = 1, format: str = "WAV", subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave(rate, seconds=seconds, channels=channels), rate, format=format, subtype=subtype)
    return buffer.getvalue()


def likeness(pcm: Any) -> float:
    """Highest correlation with the tone, at any shift of up to 100 ms (encoders delay)."""
    reference = wave(8000, seconds=0.3)[:, 0]
    parts = [pcm[shift : shift + len(reference)].astype(float) for shift in range(0, 800, 2)]
    return max(float(np.corrcoef(part, reference)[0, 1]) for part in parts if len(part) == len(reference))


@pytest.mark.parametrize(
    ("content_type", "rate", "how"),
    [
        ("audio/wav", 8000, {}),
        ("audio/x-wav", 44100, {"subtype": "PCM_24"}),
        ("audio/wave", 48000, {"subtype": "FLOAT"}),
        ("audio/wav", 8000, {"subtype": "ULAW"}),
        ("audio/wav", 8000, {"subtype": "ALAW"}),
        ("audio/mpeg", 44100, {"format": "MP3", "subtype": "MPEG_LAYER_III"}),
        ("audio/mpeg", 16000, {"format": "MP3", "subtype": "MPEG_LAYER_III"}),
        ("audio/ogg", 22050, {"format": "OGG", "subtype": "VORBIS"}),
        ("audio/ogg", 48000, {"format": "OGG", "subtype": "OPUS"}),
        ("audio/flac", 16000, {"format": "FLAC"}),
        ("audio/aiff", 11025, {"format": "AIFF"}),
        ("audio/basic", 8000, {"format": "AU", "subtype": "ULAW"}),
        ("application/octet-stream", 8000, {}),
    ],
)
def test_every_format_gives_the_same_sound_at_8_khz(content_type: str, rate: int, how: dict[str, Any]) -> None:
    pcm = decode(file(rate, **how), content_type)
    assert pcm.dtype == np.int16
    assert abs(len(pcm) - 4000) < 1200  # encoders pad
    assert likeness(pcm) > 0.98


def test_raw_companded_audio_is_known_by_its_content_type() -> None:
    pcm = (wave(8000)[:, 0] * 32767).astype(np.int16)
    assert likeness(decode(g711.encode_ulaw(pcm).tobytes(), "audio/basic")) > 0.99
    assert likeness(decode(g711.encode_alaw(pcm).tobytes(), "audio/x-alaw-basic")) > 0.99
    with pytest.raises(AudioError):
        decode(g711.encode_ulaw(pcm).tobytes(), "audio/mpeg")


def test_raw_gsm_is_known_by_its_content_type() -> None:
    # A GSM file cannot be written to memory by libsndfile (it is not seekable): frames of silence, by the standard's magic number.
    frame = bytes([0xD0]) + bytes(32)
    assert len(decode(frame * 50, "audio/gsm")) == 8000


def test_a_file_under_a_raw_type_but_with_a_header_is_read_by_its_header() -> None:
    assert likeness(decode(file(16000), "audio/ulaw")) > 0.99


def test_channels_are_mixed_to_one() -> None:
    assert likeness(decode(file(8000, channels=2), "audio/wav")) > 0.99
    with pytest.raises(AudioError, match="9 channels"):
        decode(file(8000, channels=9), "audio/wav")


def test_a_clip_longer_than_allowed_is_refused_by_its_header_and_by_what_comes_out() -> None:
    with pytest.raises(AudioError, match="2 s are allowed"):
        decode(file(8000, seconds=3), "audio/wav", max_seconds=2)
    long = file(8000, seconds=3, format="MP3", subtype="MPEG_LAYER_III")
    with pytest.raises(AudioError, match="2 s"):
        decode(long, "audio/mpeg", max_seconds=2)


@pytest.mark.parametrize("rate", [1, 999, 384_001, 0xFFFFFFF])
def test_an_absurd_rate_is_refused(rate: int) -> None:
    data = bytearray(file(8000))
    struct.pack_into("<I", data, 24, rate)
    with pytest.raises(AudioError) as caught:
        decode(bytes(data), "audio/wav")
    assert caught.value.code == 13420


def silence(minutes: float, kind: str) -> bytes:
    """So many minutes of nothing: a small file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(int(minutes * 60 * 8000), dtype=np.int16), 8000, format=kind, subtype="PCM_16")
    return buffer.getvalue()


def claiming(flac: bytes, samples: int) -> bytes:
    """A FLAC file whose header tells another length (RFC 9639 §8.2: 36 bits)."""
    field = int.from_bytes(flac[18:26], "big") >> 36 << 36 | samples
    return flac[:18] + field.to_bytes(8, "big") + flac[26:]


def cost_mb(data: bytes, content_type: str) -> float:
    """The most memory that decoding takes, and that it is refused or short."""
    tracemalloc.start()
    with contextlib.suppress(AudioError):
        assert len(decode(data, content_type)) <= 600 * 8000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


@pytest.mark.parametrize("claimed", [None, 0, 8000, 2**36 - 1])
def test_hours_of_audio_in_a_small_file_cost_next_to_nothing_whatever_its_header_claims(claimed: int | None) -> None:
    bomb = silence(25, "FLAC")
    assert len(bomb) < 50_000
    assert cost_mb(bomb if claimed is None else claiming(bomb, claimed), "audio/flac") < 40


@pytest.mark.parametrize("content_type", ["audio/basic", "audio/gsm"])
def test_hours_of_audio_without_any_header_are_stopped_at_the_limit(content_type: str) -> None:
    assert cost_mb(b"\xd0" * 6_000_000, content_type) < 60


@pytest.mark.parametrize("channels", [9, 256, 4000, 65535])
def test_thousands_of_channels_are_refused(channels: int) -> None:
    data = bytearray(file(8000))
    struct.pack_into("<H", data, 22, channels)
    assert cost_mb(bytes(data), "audio/wav") < 1


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"ID3" + bytes(200), bytes(3000), file()[:30], file(seconds=0)])
def test_what_is_no_audio_is_the_tenants_error(data: bytes) -> None:
    with pytest.raises(AudioError) as caught:
        decode(data, "audio/wav")
    assert caught.value.code == 13420
    assert "0x" not in str(caught.value)


def test_samples_that_are_no_numbers_are_silence() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([np.nan, np.inf, -np.inf, 0.0] * 400), 8000, format="WAV", subtype="FLOAT")
    pcm = decode(buffer.getvalue(), "audio/wav")
    assert pcm[:4].tolist() == [0, 32767, -32767, 0]


@given(at=st.integers(0, 900), byte=st.integers(0, 255), cut=st.integers(40, 1000), kind=st.sampled_from(["WAV", "FLAC", "OGG", "AIFF"]))
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_decoded_or_refused_and_nothing_else(at: int, byte: int, cut: int, kind: str) -> None:
    data = bytearray(file(8000, seconds=0.1, format=kind, subtype="VORBIS" if kind == "OGG" else "PCM_16")[:cut])
    data[at % len(data)] = byte
    try:
        pcm = decode(bytes(data), "audio/x-any", max_seconds=10)
    except AudioError:
        return
    assert 0 < len(pcm) <= 80_000
