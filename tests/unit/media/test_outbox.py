"""Reports for a control that may be slow."""

from waitline.media.messages import MAX_BATCH_BYTES, ClipEnded, Digit, Dumped, Latched, Stats, encode
from waitline.media.outbox import MAX_DIGITS, Outbox


def test_a_newer_report_takes_the_place_of_an_older_of_its_kind():
    outbox = Outbox()
    for report in (ClipEnded(1, 5), Latched(1, "a", 1), ClipEnded(1, 6), ClipEnded(2, 3)):
        outbox.add(report)
    assert outbox.batch() == [Latched(1, "a", 1), ClipEnded(1, 6), ClipEnded(2, 3)]


def test_digits_queue_and_the_oldest_are_lost_first():
    outbox = Outbox()
    for number in range(1, MAX_DIGITS + 4):
        outbox.add(Digit(1, number, "5", 100))
    assert [report.number for report in outbox.batch() if isinstance(report, Digit)] == list(range(4, MAX_DIGITS + 4))
    assert outbox.lost_digits == 3


def test_what_was_sent_is_gone_and_digits_have_room_again():
    outbox = Outbox()
    for number in range(MAX_DIGITS):
        outbox.add(Digit(1, number, "5", 100))
    outbox.sent(outbox.batch())
    outbox.add(Digit(1, 99, "5", 100))
    assert outbox.batch() == [Digit(1, 99, "5", 100)]
    assert outbox.lost_digits == 0


def test_a_batch_fits_into_one_message():
    outbox = Outbox()
    for leg in range(500):
        outbox.add(Stats(leg, {"jitter": leg + 0.123456}))
        outbox.add(ClipEnded(leg, leg))
    outbox.add(Dumped(500))
    count = 0
    while outbox:
        batch = outbox.batch()
        assert len(encode(list(batch))) <= MAX_BATCH_BYTES
        count += len(batch)
        outbox.sent(batch)
    assert count == 1001


def test_one_report_larger_than_a_message_is_still_sent():
    outbox = Outbox()
    outbox.add(Stats(1, {"x" * MAX_BATCH_BYTES: 1.0}))
    assert len(outbox.batch()) == 1


def test_a_closed_leg_has_nothing_left_to_say():
    outbox = Outbox()
    outbox.add(ClipEnded(1, 5))
    outbox.add(Digit(1, 1, "5", 100))
    outbox.add(ClipEnded(2, 5))
    outbox.forget(1)
    assert outbox.batch() == [ClipEnded(2, 5)]
