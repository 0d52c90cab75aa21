"""Reception statistics."""

from waitline.media.sequence import Reception, is_sampled


def receive(reception, sequences, *, ssrc=1, late_s=0.0, received=0):
    for sequence in sequences:
        received += 1
        reception.note(ssrc, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, at_s=sequence * 0.02 + late_s, received=received)
    return received


def test_a_clean_stream_has_no_loss_and_no_jitter():
    reception = Reception()
    receive(reception, range(10, 60))
    assert (reception.expected, reception.lost, reception.highest, reception.jitter) == (50, 0, 59, 0.0)


def test_missing_packets_are_lost_and_the_fraction_is_per_interval():
    reception = Reception()
    received = receive(reception, [*range(50), *range(75, 100)])
    assert reception.lost == 25
    assert reception.fraction_lost() == 64
    receive(reception, range(100, 200), received=received)
    assert reception.fraction_lost() == 0


def test_the_sequence_wraps_into_cycles():
    reception = Reception()
    receive(reception, range(65530, 65546))
    assert reception.highest == (1 << 16) + 9
    assert reception.lost == 0


def test_packets_that_were_counted_by_the_kernel_are_not_lost():
    reception = Reception()
    for sample, received in ((64, 1), (65, 2), (128, 65), (129, 66)):
        reception.note(1, sample, sample * 160, at_s=sample * 0.02, received=received)
    assert reception.lost == 0


def test_a_duplicate_makes_the_loss_negative():
    reception = Reception()
    receive(reception, [1, 2, 2, 3])
    assert reception.lost == -1


def test_a_late_packet_does_not_move_the_highest():
    reception = Reception()
    receive(reception, [1, 2, 4, 3, 5])
    assert (reception.highest, reception.lost) == (5, 0)


def test_another_ssrc_begins_anew():
    reception = Reception()
    received = receive(reception, range(100))
    receive(reception, range(5000, 5010), ssrc=2, received=received)
    assert (reception.expected, reception.lost, reception.ssrc) == (10, 0, 2)


def test_a_jump_that_no_loss_explains_begins_anew():
    reception = Reception()
    received = receive(reception, range(10))
    receive(reception, range(30000, 30010), received=received)
    assert (reception.expected, reception.lost) == (10, 0)


def test_jitter_follows_the_difference_of_transit_times():
    reception = Reception()
    reception.note(1, 0, 0, at_s=0.0, received=1)
    reception.note(1, 1, 160, at_s=0.030, received=2)  # 10 ms late
    assert reception.jitter == 5.0  # 80 timestamp units / 16


def test_two_consecutive_packets_of_each_64_are_samples():
    samples = [sequence for sequence in range(200) if is_sampled(sequence)]
    assert samples == [0, 1, 64, 65, 128, 129, 192, 193]
