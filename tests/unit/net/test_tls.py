"""SIP over TLS on loopback, in virtual time: handshakes, framing, certificates, what becomes of connections that break."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from harness.virtual_time import run
from unit.net.kit import Heard, ask, made, next_message
from unit.sip.kit import ANSWER, OFFER, request

from waitline.bridge.net.self_signed import RENEW_BEFORE, VALID, expires_at, self_signed
from waitline.bridge.net.sip_tcp import TcpLimits
from waitline.bridge.net.sip_tls import TlsDoor
from waitline.bridge.sip.events import AckReceived, CallAnswered, DialogEnded, ExchangeTimedOut, InviteReceived, ResponseReceived
from waitline.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VIA = "SIP/2.0/TLS 10.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    return write(authority, tmp_path, "127.0.0.1")


def write(authority: trustme.CA, folder: Path, name: str) -> tuple[Path, Path]:
    made = authority.issue_cert(name)
    certificate, key = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    return certificate, key


class TlsDesk:
    """An endpoint that listens for TLS, within a story."""

    def __init__(self, pem: tuple[Path, Path], *, trusting: bool = True, **limits: Any) -> None:
        self.events = Heard()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = self.sock.getsockname()[:2]
        self.endpoint = made(self.events.take, tcp_limits=TcpLimits(**limits))
        self.door = TlsDoor(*pem, authorities=pem[0].with_name("ca.crt") if trusting else None)
        self.endpoint.attach_tls(self.sock, self.door)
        self.endpoint.read()

    async def __aenter__(self) -> TlsDesk:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.endpoint.close()
        self.sock.close()

    async def connect(self, authority: trustme.CA, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address, ssl=client(authority, **options))


def client(authority: trustme.CA, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = newest
    return context


async def over(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def test_messages_and_pings_are_cut_out_of_tls_as_out_of_tcp(authority: trustme.CA, pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            reader, writer = await desk.connect(authority)
            both = request("OPTIONS", via=VIA) + request("OPTIONS", via=VIA, branch="z9hG4bK-2", call_id="2", body=b"x" * 40_000)
            for start in range(0, len(both), 7000):  # several records a message, and several messages a record
                writer.write(both[start : start + 7000])
                await writer.drain()
            for _ in range(2):
                assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            writer.write(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\r\n"
            await over(writer)

    run(story())


def test_a_last_word_that_comes_with_the_end_of_the_connection_is_heard(authority: trustme.CA, pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            _, writer = await desk.connect(authority)
            writer.write(request("INVITE", via=VIA, body=OFFER))
            writer.close()
            await desk.events.wait(InviteReceived)
            with contextlib.suppress(ssl.SSLError):  # our 100 comes after its goodbye
                await writer.wait_closed()

    run(story())


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(authority: trustme.CA, pem: tuple[Path, Path], newest: ssl.TLSVersion) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            reader, writer = await desk.connect(authority, newest=newest)
            writer.write(request("OPTIONS", via=VIA))
            assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            await over(writer)

    run(story())


def test_anything_older_than_tls_1_2_is_refused(pem: tuple[Path, Path]) -> None:
    door = TlsDoor(*pem)
    stream, context = door.accept(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    with pytest.raises(OSError, match=r"(?i)protocol"):
        stream.receive(outgoing.read())
    assert not stream.established
    assert stream.outgoing()[:1] == b"\x15", "an alert says why"


def test_who_speaks_sip_in_the_clear_to_the_tls_port_is_closed(pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            reader, writer = await asyncio.open_connection(*desk.address)
            writer.write(request("INVITE", body=OFFER))
            assert b"SIP" not in await reader.read()
            assert not desk.events
            await over(writer)

    run(story())


def test_who_does_not_finish_the_handshake_is_closed_however_it_drips(authority: trustme.CA, pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem, connect_s=5.0) as desk:
            stream = TlsDoor(*pem, authorities=pem[0].with_name("ca.crt")).connect("127.0.0.1")
            stream.begin()
            hello = stream.outgoing()
            reader, writer = await asyncio.open_connection(*desk.address)
            for octet in hello[:40]:
                writer.write(bytes([octet]))
                await asyncio.sleep(0.2)
                if reader.at_eof():
                    break
            assert await reader.read() == b""
            assert 5.0 <= asyncio.get_running_loop().time() < 6.0
            writer.close()

    run(story())


def test_who_does_not_read_is_closed_over_tls_too(authority: trustme.CA, pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem, unsent_bytes=20_000) as desk:
            desk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            reader, writer = await desk.connect(authority)
            transport: Any = writer.transport
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            transport.pause_reading()
            for number in range(10_000):
                writer.write(request("OPTIONS", via=VIA, branch=f"z9hG4bK-{number}", call_id=f"c{number}"))
                if not number % 10:
                    await asyncio.sleep(0)
                if transport.is_closing() or not desk.endpoint.open_connections:
                    break
            else:
                pytest.fail("still open after all that")
            transport.abort()
            del reader

    run(story())


def test_two_endpoints_talk_over_tls(pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as one, TlsDesk(pem) as two:
            flow = one.endpoint.flow_to("tls", two.address)
            handle = one.endpoint.do(lambda ua, now: ua.invite("sip:two@x", flow, now, from_="sip:one@x", to="sip:two@x", body=OFFER))
            await two.events.wait(InviteReceived)
            invite = two.events.pop()
            assert isinstance(invite, InviteReceived)
            assert invite.flow.transport == "tls"
            assert invite.request.via.transport == "TLS"
            two.endpoint.do(lambda ua, now: ua.answer(invite.dialog, ANSWER, now))
            await one.events.wait(CallAnswered)
            await two.events.wait(AckReceived)
            one.endpoint.do(lambda ua, now: ua.bye(handle, now))
            await two.events.wait(DialogEnded)

    run(story())


def test_whom_we_connect_to_must_prove_who_it_is(pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem, trusting=False) as one, TlsDesk(pem) as two:
            one.endpoint.do(partial(ask, one.endpoint.flow_to("tls", two.address)))
            await one.events.wait(ExchangeTimedOut)
            assert asyncio.get_running_loop().time() < 1.0
            assert not two.events

    run(story())


def test_a_call_over_tls_outlives_its_connection_and_goes_on_over_the_next(authority: trustme.CA, pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            reader, writer = await desk.connect(authority)
            writer.write(request("INVITE", via=VIA, body=OFFER, contact="<sip:phone@127.0.0.1:1;transport=tls>"))
            await next_message(reader)
            invite = desk.events[0]
            assert isinstance(invite, InviteReceived)
            desk.endpoint.do(lambda ua, now: ua.answer(invite.dialog, ANSWER, now))
            answered = await next_message(reader)
            assert answered.contacts[0].uri.transport == "tls"
            writer.write(request("ACK", via=VIA, branch="z9hG4bK-a", to_tag=answered.to.tag))
            await desk.events.wait(AckReceived)
            await over(writer)
            await asyncio.sleep(3600)
            reader, writer = await desk.connect(authority)
            writer.write(request("INFO", via=VIA, branch="z9hG4bK-i", cseq=2, to_tag=answered.to.tag))
            assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            desk.endpoint.do(lambda ua, now: ua.bye(invite.dialog, now))
            assert (await next_message(reader)).start_line.startswith("BYE ")
            await over(writer)

    run(story())


def test_a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on(
    authority: trustme.CA, pem: tuple[Path, Path], tmp_path: Path
) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            reader, writer = await desk.connect(authority)
            before = certificate_of(writer)
            write(authority, tmp_path, "127.0.0.1")
            desk.door.reload()
            _, second = await desk.connect(authority)
            assert certificate_of(second) != before
            writer.write(request("OPTIONS", via=VIA))
            assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            for one in (writer, second):
                await over(one)

    run(story())


def certificate_of(writer: asyncio.StreamWriter) -> bytes:
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return found


def test_a_certificate_that_cannot_be_used_changes_nothing(authority: trustme.CA, pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as desk:
            pem[1].write_text("no key at all")
            with pytest.raises(ConfigError, match=r"WAITLINE_SIP_TLS_CERTIFICATE, WAITLINE_SIP_TLS_KEY: .*server\.key: not usable as PEM"):
                desk.door.reload()
            _, writer = await desk.connect(authority)
            await over(writer)

    run(story())


def test_what_is_wrong_with_a_certificate_is_said(authority: trustme.CA, pem: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.crt: No such file"):
        TlsDoor(tmp_path / "nowhere.crt", pem[1])
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ConfigError, match="the key is not the certificate's"):
        TlsDoor(pem[0], write(authority, other, "127.0.0.1")[1])
    with pytest.raises(ConfigError, match="WAITLINE_SIP_TLS_CA"):
        TlsDoor(*pem, authorities=pem[1])


# --- the certificate to start with


def test_the_self_signed_certificate_is_kept_and_made_anew_before_it_runs_out(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, ["localhost", "127.0.0.1", "::1"], NOW)
    first = certificate.read_bytes()
    assert expires_at(certificate) == NOW + VALID
    assert key.stat().st_mode & 0o777 == 0o600
    self_signed(tmp_path, ["localhost"], NOW + VALID - RENEW_BEFORE - timedelta(hours=1))
    assert certificate.read_bytes() == first
    self_signed(tmp_path, ["localhost"], NOW + VALID - RENEW_BEFORE)
    assert certificate.read_bytes() != first


def test_a_phone_that_is_given_the_self_signed_certificate_can_verify_it(tmp_path: Path) -> None:
    pem = self_signed(tmp_path, ["localhost", "127.0.0.1"], datetime.now(UTC))

    async def story() -> None:
        async with TlsDesk(pem, trusting=False) as desk:
            context = ssl.create_default_context(cafile=str(pem[0]))
            reader, writer = await asyncio.open_connection(*desk.address, ssl=context)
            writer.write(request("OPTIONS", via=VIA))
            assert (await next_message(reader)).start_line == "SIP/2.0 200 OK"
            await over(writer)

    run(story())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WAITLINE_DATA: the certificate for SIP over TLS cannot be made"):
        self_signed(tmp_path / "missing", ["localhost"], NOW)


def test_the_answer_to_a_request_of_ours_comes_back_over_tls(pem: tuple[Path, Path]) -> None:
    async def story() -> None:
        async with TlsDesk(pem) as one, TlsDesk(pem) as two:
            one.endpoint.do(partial(ask, one.endpoint.flow_to("tls", two.address)))
            await one.events.wait(ResponseReceived)

    run(story())
