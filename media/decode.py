"""A tenant's audio file becomes samples: mono int16 at 8 kHz.

What a file is, its bytes say (libsndfile: WAV, AIFF, AU, FLAC, OGG, MP3 …); the content type is only asked about formats that have no
header: raw µ-law, A-law and GSM. The file is somebody else's, so it is bounded by what its header declares (channels, rate, length) and,
since headers lie and compression multiplies, again by what comes out; it is read in blocks, so that a bomb costs a block and not the
memory.

Runs in a clip worker: decoding may take long, and a file that crashes a decoder must cost nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from waitline.errors import AudioError

RATE: Final = 8000
MAX_SECONDS: Final = 600.0
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_CHANNELS: Final = 8
RATES: Final = (1000, 384_000)
BAD_AUDIO: Final = 13420

_BLOCK_FRAMES = 65_536
_ULAW: Final = {"subtype": "ULAW", "samplerate": 8000, "channels": 1, "format": "RAW"}
_ALAW: Final = _ULAW | {"subtype": "ALAW"}
_GSM: Final = _ULAW | {"subtype": "GSM610"}
_RAW: Final[dict[str, dict[str, Any]]] = {
    "audio/basic": _ULAW,
    "audio/ulaw": _ULAW,
    "audio/x-ulaw": _ULAW,
    "audio/mulaw": _ULAW,
    "audio/x-mulaw": _ULAW,
    "audio/pcmu": _ULAW,
    "audio/alaw": _ALAW,
    "audio/x-alaw": _ALAW,
    "audio/x-alaw-basic": _ALAW,
    "audio/pcma": _ALAW,
    "audio/gsm": _GSM,
    "audio/x-gsm": _GSM,
}


class _File(io.BytesIO):
    """A file that stays where it is when it is asked to go before its beginning, as damaged headers make the decoder do.

    The decoder calls back into Python, where an exception has nobody to go to: it would be printed and ignored.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def decode(data: bytes, content_type: str, *, max_seconds: float = MAX_SECONDS) -> NDArray[np.int16]:
    """The samples of a file; AudioError(13420) if it cannot be decoded, is out of bounds, or holds nothing."""
    if len(data) > MAX_BYTES:
        raise AudioError(f"an audio file of {len(data)} bytes, {MAX_BYTES} are allowed", code=BAD_AUDIO)
    try:
        with _open(data, content_type) as file:
            _check_header(file, max_seconds)
            samples = _at_8_khz(_blocks(file, max_seconds), file.samplerate)
    except (soundfile.SoundFileError, ValueError, RuntimeError, MemoryError) as error:
        why = getattr(error, "error_string", error)  # without the address of a buffer, which would make each message a new one
        raise AudioError(f"not audio that can be decoded ({content_type[:100]}): {why}", code=BAD_AUDIO) from error
    if not len(samples):
        raise AudioError("an audio file without any sound in it", code=BAD_AUDIO)
    return samples


def _open(data: bytes, content_type: str) -> Any:
    """By its own header; where it has none, as the raw format that the content type names."""
    raw = _RAW.get(content_type.partition(";")[0].strip().lower())
    try:
        return soundfile.SoundFile(_File(data))
    except soundfile.SoundFileError:
        if raw is None or not data:
            raise
    return soundfile.SoundFile(_File(data), **raw)


def _check_header(file: Any, max_seconds: float) -> None:
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise AudioError(f"audio of {file.channels} channels, {MAX_CHANNELS} are allowed", code=BAD_AUDIO)
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise AudioError(f"audio of {file.samplerate} samples a second", code=BAD_AUDIO)
    if file.frames / file.samplerate > max_seconds:
        raise AudioError(f"audio of {file.frames / file.samplerate:.0f} s, {max_seconds:.0f} s are allowed", code=BAD_AUDIO)


def _blocks(file: Any, max_seconds: float) -> Iterator[NDArray[np.float32]]:
    """Mono, a block at a time. A number of frames is always asked for: GSM cannot say how many are left."""
    left = int(max_seconds * file.samplerate)
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        left -= len(block)
        if left < 0:
            raise AudioError(f"audio longer than the {max_seconds:.0f} s allowed", code=BAD_AUDIO)
        yield np.nan_to_num(block.mean(axis=1), nan=0.0, posinf=1.0, neginf=-1.0)


def _at_8_khz(blocks: Iterator[NDArray[np.float32]], rate: int) -> NDArray[np.int16]:
    if rate == RATE:
        return to_int16(np.concatenate([np.zeros(0, dtype=np.float32), *blocks]))
    stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    parts = [stream.resample_chunk(block) for block in blocks]
    parts.append(stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    return to_int16(np.concatenate(parts))


def resample(pcm: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """The whole of a sound at 8 kHz."""
    return pcm if rate == RATE else to_int16(soxr.resample(pcm.astype(np.float32) / 32768, rate, RATE))


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Full scale is 1.0; what is beyond is clipped, as any telephone would."""
    return np.round(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
