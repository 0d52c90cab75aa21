"""What is said again to a leg that had to be opened anew."""

from waitline.media.messages import Play, PlayNext, SendDigits, SetKeys, SetMedia, StartAudio, Unbridge
from waitline.media.reopening import Said

MEDIA = SetMedia(1, 7, "PCMU", 0, 101, "192.0.2.7", 4000, 0, "sendrecv", ())
KEYS = SetKeys(1, 7, "suite", "ours", "theirs")


def said(*commands):
    found = Said()
    for command in commands:
        found.note(command)
    return found


def test_keys_come_before_the_agreement_and_sound_after_it_and_the_newest_of_each_counts():
    found = said(MEDIA, StartAudio(1, 7), KEYS, MEDIA._replace(port=5000), Unbridge(1, 7), Play(1, 7, 3, (), 0))
    assert found.again() == [KEYS, MEDIA._replace(port=5000), StartAudio(1, 7), Play(1, 7, 3, (), 0)]


def test_what_is_over_is_not_played_again_but_the_tail_of_the_newest_is():
    first, keys, second = Play(1, 7, 3, ((1, 2, 1),), 1), SendDigits(1, 7, 4, "12"), PlayNext(1, 7, 5, ((3, 4, 0),), 1)
    found = said(MEDIA, first, keys, second)
    found.through(3)
    assert found.again() == [MEDIA, first, keys, second]
    found.through(4)
    assert found.again() == [MEDIA, second]
    found.through(5)
    assert found.again() == [MEDIA, second]


def test_a_new_program_takes_the_place_of_all_before():
    assert said(Play(1, 7, 3, (), 0), SendDigits(1, 7, 4, "1"), Play(1, 7, 5, (), 0)).again() == [Play(1, 7, 5, (), 0)]


def test_a_leg_with_nothing_agreed_has_nothing_to_be_told():
    assert said(Unbridge(1, 7)).again() == []
