"""The worker's loop in this process: turn by turn, on real sockets, with a link and a lifeline that a test holds."""

import contextlib
import os
import select
import socket

import numpy as np
import pytest
from harness.media_rig import numbered_frames

from waitline.clock import VirtualClock
from waitline.media import messages, rtp
from waitline.media.ledger import Ledger
from waitline.media.messages import ClipEnded, Configure, HandedOver, Opened, OpenFailed, OpenLeg, decode, encode
from waitline.media.rtp import RtpPacket
from waitline.media.worker import Worker, await_configure, usable_cores

CONFIGURE = Configure(1, "127.0.0.1", 0, 0, 30, "test")


class Time:
    s = 1000.0


class Bench:
    """A worker whose clock a test holds: ``turn`` does what woke it, ``at`` moves the time to a tick."""

    def __init__(self, *, filters=False):
        self.time = Time()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.control, theirs):
            end.setblocking(False)
        self.lifeline, self.parent = os.pipe()
        clock = VirtualClock(lambda: self.time.s)
        self.worker = Worker(theirs, self.lifeline, numbered_frames(), CONFIGURE, clock=clock, filters=filters)
        self.link = theirs
        self.phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.phone.bind(("127.0.0.1", 0))
        self.phone.setblocking(False)

    def command(self, *commands, descriptors=()):
        socket.send_fds(self.control, [encode(list(commands))], descriptors)
        self.worker._obey()
        self.worker._flush()

    def reports(self):
        found, descriptors = [], []
        with contextlib.suppress(BlockingIOError):
            while True:
                data, fds, _, _ = socket.recv_fds(self.control, 1 << 16, 4)
                if not data:
                    break
                found += decode(data)
                descriptors += fds
        return found, descriptors

    def open(self, leg=1):
        host, port = self.phone.getsockname()
        self.command(
            OpenLeg(1, leg, 5, 100, 8000),
            messages.SetMedia(1, leg, "PCMU", 0, 101, host, port, 0, "sendrecv", ()),
            messages.StartAudio(1, leg),
        )
        [opened] = [report for report in self.reports()[0] if isinstance(report, Opened)]
        return opened.port

    def at(self, tick):
        """Let the timer ring at a tick."""
        self.time.s = 1000.0 + 0.005 * tick
        self.worker._ticker.due = lambda: tick  # type: ignore[method-assign]
        self.worker._tick()
        self.worker._flush()

    def heard(self):
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = rtp.parse(self.phone.recv(2048))
                if packet is not None:
                    found.append(packet)
        return found

    def close(self):
        for port in list(self.worker.wire.ports.values()):
            port.sock.close()
        for end in (self.control, self.link, self.phone):
            end.close()
        self.worker._ticker.close()
        self.worker.wire.urgent.close()
        self.worker.wire.lazy.close()
        for descriptor in (self.lifeline, self.parent):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def test_ticks_that_are_a_little_late_are_made_up_for(bench):
    bench.open()
    bench.at(0)
    bench.at(11)
    assert [packet.sequence for packet in bench.heard()] == [100, 101, 102]
    assert bench.worker.table.stats()["late_ticks"] == 1


def test_ticks_that_are_three_frames_late_are_left_out(bench):
    bench.open()
    bench.at(0)
    bench.at(40)
    packets = bench.heard()
    assert [packet.sequence for packet in packets] == [100, 101]
    assert packets[1].timestamp - packets[0].timestamp == 10 * 160
    assert packets[1].marker


def test_a_worker_without_legs_is_not_woken_and_goes_on_in_time_when_one_comes(bench):
    for tick in range(201):
        assert not bench.worker._ticker.resting
        bench.at(tick)
    assert bench.worker._ticker.resting
    bench.time.s = 1000.0 + 0.005 * 40_000
    bench.open()
    assert not bench.worker._ticker.resting
    for tick in range(40_001, 40_005):
        bench.at(tick)
    assert [packet.sequence for packet in bench.heard()] == [100]
    assert "late_ticks" not in bench.worker.table.stats()
    bench.command(messages.CloseLeg(1, 1))
    for tick in range(40_005, 40_205):
        assert not bench.worker._ticker.resting
        bench.at(tick)
    assert bench.worker._ticker.resting


def test_a_timer_that_has_not_rung_does_nothing(bench):
    bench.open()
    bench.at(-1)
    assert not bench.heard()


def test_a_burst_is_read_in_one_tick_but_a_flood_is_not(bench):
    port = bench.open()
    for sequence in range(20):
        bench.phone.sendto(bytes(RtpPacket(0, sequence, 0, 9, bytes(160))), ("127.0.0.1", port))
    bench.at(0)
    assert bench.worker.table.legs[1].received == 8
    bench.at(1)
    bench.at(2)
    assert bench.worker.table.legs[1].received == 20


def test_control_that_goes_away_does_not_end_the_music(bench):
    bench.open()
    bench.control.close()
    bench.worker._obey()
    bench.at(0)
    bench.at(4)
    assert len(bench.heard()) == 2
    bench.worker._obey()


def test_reports_wait_for_a_control_that_is_slow(bench):
    bench.open()
    for leg in range(2, 5000):
        bench.worker.outbox.add(ClipEnded(leg, 1))
    for _ in range(1000):
        bench.worker.outbox.add(messages.Stats(9, {"x" * 20000: 1.0}))
        bench.worker._flush()
    assert len(bench.worker.outbox) > 0
    found = []
    while bench.worker.outbox:
        found += bench.reports()[0]
        bench.worker._flush()
    found += bench.reports()[0]
    assert [report.leg for report in found if isinstance(report, ClipEnded)] == list(range(2, 5000))


def test_what_is_no_command_is_counted_and_the_next_is_obeyed(bench, capsys):
    for garbage in (b"{", b'[["Play"]]', b'[["ClipEnded",1,2]]', b"[1]"):
        bench.control.send(garbage)
        bench.worker._obey()
    assert bench.worker.table.counters["bad_commands"] == 3
    assert "not understood" in capsys.readouterr().err
    assert bench.open()


def test_a_closed_lifeline_ends_the_loop(bench):
    os.close(bench.parent)
    bench.worker.run()


def test_the_loop_serves_link_timer_and_relayed_sockets(bench):
    port = bench.open(1)
    bench.open(2)
    bench.command(messages.Bridge(1, 1, 2, "claim"))
    bench.phone.sendto(bytes(RtpPacket(0, 1, 0, 9, b"\x55" * 160)), ("127.0.0.1", port))
    assert bench.worker._turn(bench.worker.wire.urgent.poll(1))
    assert bench.heard()[-1].payload[0] == 0x55  # the timer may have rung, too
    bench.control.send(encode([messages.Dump(1)]))
    assert bench.worker._turn([(bench.link.fileno(), select.EPOLLIN)])
    bench.worker._ticker.due = lambda: 0
    assert bench.worker._turn([(bench.worker._ticker.fd, select.EPOLLIN), (9999, select.EPOLLIN)])


def test_a_leg_is_handed_over_with_its_sockets_and_taken_over(bench):
    port = bench.open()
    bench.worker.outbox.add(ClipEnded(7, 1))
    bench.command(messages.HandOver(1, 1))
    reports, descriptors = bench.reports()
    assert [type(report) for report in reports] == [ClipEnded, HandedOver]
    assert len(descriptors) == 1  # RTCP shares the port
    other = Bench()
    try:
        other.command(messages.TakeOver(1, 1, reports[1].row), descriptors=descriptors)
        assert other.reports()[0] == [Opened(1, port, port + 1)]
        bench.phone.sendto(bytes(RtpPacket(0, 0x40, 0, 9, bytes(160))), ("127.0.0.1", port))
        other.at(0)
        assert other.worker.table.legs[1].received == 1
        other.command(messages.CloseLeg(1, 1))
    finally:
        other.close()
        for descriptor in descriptors:
            os.close(descriptor)


def test_a_takeover_without_sockets_fails_and_stray_descriptors_are_closed(bench):
    bench.command(messages.TakeOver(1, 1, {"port": 1, "rtcp_port": 2}))
    assert isinstance(bench.reports()[0][0], OpenFailed)
    descriptor = os.open("/dev/null", os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    bench.command(messages.Dump(1), descriptors=[descriptor])
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(descriptor)


def test_ports_are_given_back_with_the_leg(bench):
    bench.open()
    bench.command(messages.CloseLeg(1, 1))
    assert not bench.worker.wire.ports


def test_the_first_batch_is_configure_and_what_comes_with_it():
    control, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_end, write_end = os.pipe()
    with control, worker:
        control.send(encode([CONFIGURE, messages.Dump(1)]))
        assert await_configure(worker, read_end, Ledger.in_memory()) == (CONFIGURE, [messages.Dump(1)])
        control.send(encode([messages.Dump(1)]))
        assert await_configure(worker, read_end, Ledger.in_memory()) is None
        worker.setblocking(False)
        os.close(write_end)
        assert await_configure(worker, read_end, Ledger.in_memory()) is None
    os.close(read_end)


def test_cores_are_counted_by_affinity_and_quota(tmp_path):
    quota = tmp_path / "cpu.max"
    cores = len(os.sched_getaffinity(0))
    assert usable_cores(str(tmp_path / "none")) == cores
    for text, expected in (("max 100000", cores), ("100000 100000", 1), ("50000 100000", 1), ("nonsense", cores)):
        quota.write_text(text)
        assert usable_cores(str(quota)) == expected


def test_the_ticker_counts_from_its_start_whenever_it_is_asked():
    from waitline.clock import SystemClock
    from waitline.media.ticker import Ticker

    ticker = Ticker(SystemClock().now)
    try:
        select.select([ticker.fd], [], [], 1)
        first = ticker.due()
        assert first >= 1
        ticker.rest()
        assert not select.select([ticker.fd], [], [], 0.02)[0]
        assert ticker.resume() >= first + 3
        assert select.select([ticker.fd], [], [], 1)[0]
        again = ticker.due()
        assert again == -1 or again >= first
    finally:
        ticker.close()


def test_the_store_of_the_bench_has_two_codecs():
    assert numbered_frames().shape == (2, 90, 160)
    assert numbered_frames().dtype == np.uint8


def test_however_much_has_come_it_is_left_unread_when_the_next_tick_is_due(bench, monkeypatch):
    """Callers whose packets were in step made everybody's music late: two of 64 pass the kernel's filter, and these came all at once."""
    bench.open()
    read = []

    class Ready:
        """Sockets that are always ready."""

        def poll(self, _timeout, _events):
            return [(bench.phone.fileno(), select.EPOLLIN)]

    def takes_two_milliseconds(port, _at_s):
        read.append(port)
        bench.time.s += 0.002

    monkeypatch.setattr(bench.worker.wire, "lazy", Ready())
    monkeypatch.setattr(bench.worker.wire, "ports", {bench.phone.fileno(): "port"})
    monkeypatch.setattr(bench.worker, "_read", takes_two_milliseconds)
    bench.at(1)
    assert len(read) == 3
