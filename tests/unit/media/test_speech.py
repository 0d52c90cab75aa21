from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitline.media import speech, tones


class Engine:
    """Stands in for the engine's binding; remembers what it was asked."""

    def __init__(self, pcm: Any = (1000, -1000)) -> None:
        self.asked: list[tuple[str, str, float | None]] = []
        self._pcm = np.array(pcm, dtype=np.int16).tobytes()

    def speak(self, text: str, *, voice: str, pitch: float | None) -> bytes:
        self.asked.append((text, voice, pitch))
        return self._pcm


def test_the_voice_is_turned_down() -> None:
    spoken = speech.NanoSpeech(Engine()).synthesise("Hello", "woman", "en-GB")
    assert spoken.pcm.tolist() == [700, -700]
    assert (spoken.rate, spoken.warning) == (16000, None)


@pytest.mark.parametrize(
    ("asked", "given", "warned"),
    [
        ("en-GB", "en-GB", False),
        ("EN_us", "en-US", False),
        ("de", "de-DE", False),
        ("de-AT", "de-DE", True),
        ("en-AU", "en-GB", True),
        ("en-CA", "en-US", True),
        ("es-MX", "es-ES", True),
        ("pt-BR", "en-US", True),
        ("xx", "en-US", True),
    ],
)
def test_a_language_without_a_voice_falls_back_to_the_nearest_and_says_so(asked: str, given: str, warned: bool) -> None:
    engine = Engine()
    spoken = speech.NanoSpeech(engine).synthesise("Hello", "woman", asked)
    assert engine.asked == [("Hello", given, None)]
    assert (spoken.warning is not None) is warned
    assert spoken.warning is None or spoken.warning.code == 13511


@pytest.mark.parametrize(
    ("voice", "low"), [("man", True), ("woman", False), ("alice", False), ("Polly.Matthew", True), ("Polly.Brian-Neural", True)]
)
def test_a_mans_voice_is_a_lower_one(voice: str, low: bool) -> None:
    engine = Engine()
    speech.NanoSpeech(engine).synthesise("Hello", voice, "en-US")
    assert (engine.asked[0][2] is not None) is low


def test_nothing_the_engine_could_take_for_a_tag_reaches_it() -> None:
    engine = Engine()
    speech.NanoSpeech(engine).synthesise('a <play file="/etc/passwd"/> & \x00\ud800 b', "woman", "en-US")
    assert engine.asked[0][0] == 'a play file="/etc/passwd"/ b'


@given(st.text())
def test_whatever_the_text_it_is_speakable_afterwards(text: str) -> None:
    words, warning = speech.speakable(text)
    assert len(words) <= speech.MAX_CHARACTERS
    assert not set(words) & set("<>&\\\x00\n")
    assert words.encode().decode() == words
    assert warning is None


def test_a_text_that_is_too_long_is_cut_at_a_word_and_said_to_be() -> None:
    words, warning = speech.speakable("word " * 2000)
    assert words.endswith("word")
    assert 4000 < len(words) <= 4096
    assert warning is not None
    assert len(speech.speakable("x" * 9999)[0]) == 4096


@pytest.mark.parametrize("text", ["Привет мир", "こんにちは"])
def test_another_script_is_heard_as_notes_with_a_warning(text: str) -> None:
    engine = Engine()
    spoken = speech.NanoSpeech(engine).synthesise(text, "man", "ru-RU")
    assert spoken.pcm.tolist() == tones.instead_of_speech().tolist()
    assert spoken.warning is not None
    assert spoken.warning.code == 13520
    assert engine.asked == []


def test_an_engine_that_says_nothing_is_heard_as_notes() -> None:
    assert len(speech.NanoSpeech(Engine(())).synthesise("Hm", "man", "en-US").pcm) == len(tones.instead_of_speech())


@pytest.mark.parametrize("text", ["", "  ", "...", "<>"])
def test_no_words_are_silence(text: str) -> None:
    spoken = speech.NanoSpeech(Engine()).synthesise(text, "man", "en-US")
    assert (len(spoken.pcm), spoken.warning) == (0, None)


def test_without_an_engine_there_are_notes_and_a_warning() -> None:
    spoken = speech.NoSpeech().synthesise("Hello", "man", "en-US")
    assert len(spoken.pcm) > 0
    assert spoken.warning is not None
    assert speech.NoSpeech().languages() == ()


def test_the_real_engine_speaks_each_of_its_languages() -> None:
    pytest.importorskip("py_nanotts")
    engine = speech.available()
    assert len(engine.languages()) == 6
    for language in engine.languages():
        spoken = engine.synthesise("3 taxi", "woman", language)
        assert len(spoken.pcm) / spoken.rate > 0.3
        assert np.abs(spoken.pcm.astype(int)).max() <= 0.7 * 32768
