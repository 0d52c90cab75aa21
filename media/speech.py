"""Text becomes a voice. One small protocol, and a default engine that is a wheel away.

The engine (NanoTTS, SVOX Pico inside) has six languages and one voice each. It holds the interpreter's lock while it speaks, so it belongs
in a clip worker. It reads tags in its text, some of which name files: nothing that looks like one reaches it. It reaches full scale, which
G.711 companding makes harsh, so it is turned down.

A language without a voice falls back, to the nearest of the same language and then to English, with a warning that the tenant can be sent.
Text that the voice cannot say (another script), or no engine at all, gives the three falling notes of ``tones.instead_of_speech`` and a
warning: a caller hears that something is missing, rather than silence.

To add an engine, write a class with ``synthesise`` and hand it to the clip worker.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from waitline.media import tones

MAX_CHARACTERS: Final = 4096
NO_LANGUAGE: Final = 13511
CANNOT_SAY: Final = 13520

_LATIN = re.compile(r"[0-9A-Za-z\u00c0-\u024f]")
_VOLUME = 0.7
_MAN_PITCH = 0.8
_QUIET = 300  # of 32767: the engine's noise floor is below
_BREATH = 1600  # samples, 100 ms at the engine's 16 kHz
_FALLBACKS: Final = {"en": "en-US", "de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
_LIKE_BRITAIN: Final = frozenset({"en-AU", "en-IE", "en-IN", "en-NZ", "en-ZA"})
_LOW_VOICES: Final = frozenset({"man", "alex", "matthew", "joey", "brian", "hans", "mathieu", "enrique", "giorgio"})


class Warned(NamedTuple):
    """Something about a clip that its tenant should know."""

    code: int
    message: str


class Spoken(NamedTuple):
    """Samples and their rate in Hz."""

    pcm: NDArray[np.int16]
    rate: int
    warning: Warned | None


class Speech(Protocol):
    """A speech engine."""

    def synthesise(self, text: str, voice: str, language: str) -> Spoken:
        """Never fails for want of a voice: it falls back and warns. May take long."""
        ...

    def languages(self) -> tuple[str, ...]:
        """Language tags it has a voice for."""
        ...


def available() -> Speech:
    """The default engine, or what stands in where it is not installed."""
    try:
        from py_nanotts import NanoTTS  # here: only clip workers pay for it, and it exists on Linux alone
    except ImportError:
        return NoSpeech()
    return NanoSpeech(NanoTTS())


class NanoSpeech:
    """The default engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def languages(self) -> tuple[str, ...]:
        return ("en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT")

    def synthesise(self, text: str, voice: str, language: str) -> Spoken:
        words, warning = speakable(text)
        tag, fallback = nearest(language, self.languages())
        if not any(map(str.isalnum, words)):
            return Spoken(tones.silence(0), tones.RATE, warning)
        if not _LATIN.search(words):  # the engine gives nothing, or a click
            return _notes(f"no voice for {tag} can say this text")
        pitch = _MAN_PITCH if voice.rpartition(".")[2].lower().removesuffix("-neural") in _LOW_VOICES else None
        pcm = np.frombuffer(self._engine.speak(words, voice=tag, pitch=pitch), dtype=np.int16)
        if not len(pcm):
            return _notes(f"no voice for {tag} can say this text")
        return Spoken((_without_long_silence(pcm) * _VOLUME).astype(np.int16), 16000, fallback or warning)


class NoSpeech:
    """Stands in where no engine is installed."""

    def languages(self) -> tuple[str, ...]:
        return ()

    def synthesise(self, text: str, voice: str, language: str) -> Spoken:
        return _notes("no speech engine is installed")


def speakable(text: str) -> tuple[str, Warned | None]:
    """The text without what an engine could take for a tag, a control or half a character; cut, with a warning, where it is too long."""
    words = " ".join(re.sub(r"[<>&\\\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())
    if len(words) <= MAX_CHARACTERS:
        return words, None
    warning = Warned(CANNOT_SAY, f"a text of {len(words)} characters was cut to {MAX_CHARACTERS}")
    return words[:MAX_CHARACTERS].rpartition(" ")[0] or words[:MAX_CHARACTERS], warning


def nearest(language: str, known: tuple[str, ...]) -> tuple[str, Warned | None]:
    """The tag to speak with, and a warning if it is not the one asked for."""
    primary, _, region = language.strip().replace("_", "-").partition("-")
    tag = f"{primary.lower()}-{region.upper()}" if region else primary.lower()
    if tag in known:
        return tag, None
    near = "en-GB" if tag in _LIKE_BRITAIN else _FALLBACKS.get(primary.lower(), "en-US")
    plain = not region and near.startswith(primary.lower())  # "de" is fully served by de-DE
    return near, None if plain else Warned(NO_LANGUAGE, f"there is no voice for {language}: {near} is used")


def _without_long_silence(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """Speech whose end is its end: the engine adds half a second of nothing, in which a caller wonders whether the line is dead."""
    loud = np.flatnonzero(np.abs(pcm) > _QUIET)
    return pcm[: loud[-1] + _BREATH] if len(loud) else pcm


def _notes(why: str) -> Spoken:
    return Spoken(tones.instead_of_speech(), tones.RATE, Warned(CANNOT_SAY, f"{why}; a tone is played instead"))
