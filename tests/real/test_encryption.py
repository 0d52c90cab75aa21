"""The main job over TLS with mandatory SRTP on phones that are not ours, and what a platform or a domain that requires both refuses."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import audio
from harness.baresip import Baresip
from harness.ports import free_block
from harness.sip_phone import SipPhone

if TYPE_CHECKING:
    from real.conftest import Platform

pytestmark = [pytest.mark.real, pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")]

CALLERS, AGENTS = "+15550101", "+15550102"
WAIT, WHISPER, VOICE, AGENT = 440, 900, 600, 1100


class Desk:
    """A platform that requires encryption, with a queue; phones reach it over TLS and believe its self-signed certificate."""

    def __init__(self, platform: Platform, port: int, folder: Path, phones: ExitStack) -> None:
        self.platform, self.port, self.folder, self._phones = platform, port, folder, phones
        self.tenant = tenant = platform.tenant()
        self.queue = platform.client.queues.create("support").sid
        for hz, seconds in ((WAIT, 2.0), (WHISPER, 1.0)):
            tenant.serves(f"/{hz}.wav", audio.wav(audio.tone(hz, seconds)), "audio/wav")
        tenant.answers("/wait", f"<Response><Play loop='0'>/{WAIT}.wav</Play></Response>")
        tenant.answers("/whisper", f"<Response><Play>/{WHISPER}.wav</Play></Response>")
        tenant.answers("/done", "<Response><Hangup/></Response>")
        tenant.answers("/agent-done", "<Response><Hangup/></Response>")
        enqueue = f"<Response><Say>Welcome.</Say><Enqueue waitUrl='/wait' action='/done'>{self.queue}</Enqueue></Response>"
        platform.number(tenant.answers("/voice", enqueue), CALLERS)
        dial = f"<Response><Dial action='/agent-done'><Queue url='/whisper'>{self.queue}</Queue></Dial></Response>"
        platform.number(tenant.answers("/agent", dial), AGENTS)

    def phone(self, name: str, *, voice_hz: float = VOICE, media_encryption: str = "srtp-mand") -> Baresip:
        """A phone that speaks TLS."""
        phone = Baresip(
            self.folder / name,
            user=name,
            server=("127.0.0.1", self.port),
            transport="tls",
            trusts=self.platform.folder / "data" / "sip-tls.crt",
            media_encryption=media_encryption,
            voice_hz=voice_hz,
        )
        return self._phones.enter_context(phone)

    def waiting(self) -> int:
        return len(self.platform.client.queues(self.queue).members.list())


@pytest.fixture
def desk(start_platform: Callable[..., Platform], tmp_path: Path) -> Iterator[Desk]:
    port = free_block(2)
    platform = start_platform(WAITLINE_SIP_TLS_PORT=str(port), WAITLINE_SIP_SRTP="required")
    with ExitStack() as phones:
        yield Desk(platform, port, tmp_path, phones)


def test_the_main_job_over_tls_with_mandatory_srtp(desk: Desk) -> None:
    caller = desk.phone("caller")
    caller.dial(CALLERS)
    caller.wait_for("CALL_ESTABLISHED")
    audio.wait_for_tone(caller.heard, WAIT)
    assert desk.waiting() == 1

    agent = desk.phone("agent", voice_hz=AGENT)
    agent.dial(AGENTS)
    audio.wait_for_tone(agent.heard, VOICE)
    audio.wait_for_tone(caller.heard, AGENT)
    heard = caller.heard()
    assert any(audio.purity(heard[at : at + 800], WHISPER) > 0.8 for at in range(0, len(heard) - 800, 400)), "the whisper was not heard"
    assert desk.waiting() == 0
    caller.hang_up()
    agent.wait_for("CALL_CLOSED")
    result = desk.tenant.wait_for("/done", count=1)
    assert result.params["QueueResult"] == "bridged"

    log = desk.platform.log().encode()
    written = {path.name: path.read_bytes() for path in (desk.platform.folder / "data").iterdir() if path.is_file()}
    assert "waitline.db" in written
    for where, data in {"the log": log, **written}.items():
        assert b"inline:" not in data, f"keys of media are in {where}"


def test_an_encrypted_call_goes_on_when_control_is_killed(desk: Desk) -> None:
    """The connection's keys die with control, those of the sound live in the media worker."""
    caller = desk.phone("caller")
    caller.dial(CALLERS)
    audio.wait_for_tone(caller.heard, WAIT)
    os.kill(desk.platform.serve.control(), signal.SIGKILL)
    desk.platform.serve.log.wait_for(r"control \(pid \d+\) is ready after", within_s=20)
    assert desk.waiting() == 1
    before = len(caller.heard())
    caller.wait_until_heard(before / audio.RATE + 1.0)
    assert audio.purity(caller.heard()[before:], WAIT) > 0.9
    agent = desk.phone("agent", voice_hz=AGENT)
    agent.dial(AGENTS)
    audio.wait_for_tone(agent.heard, VOICE)
    audio.wait_for_tone(caller.heard, AGENT)


def test_who_does_not_encrypt_is_refused_where_that_is_required(desk: Desk) -> None:
    plain = desk.phone("plain", media_encryption="")
    plain.dial(CALLERS)
    closed = plain.wait_for("CALL_CLOSED")
    assert closed["param"].startswith("488 "), closed
    with SipPhone(server=desk.platform.sip) as phone:
        refused = phone.invite(CALLERS).final()
        assert (refused.status, refused["warning"]) == (403, '399 waitline "calls to this address come over TLS, with encrypted media"')
    assert desk.tenant.requests("/voice") == []


def test_a_secure_domain_takes_encrypted_calls_only(start_platform: Callable[..., Platform], tmp_path: Path) -> None:
    port = free_block(2)
    platform = start_platform(WAITLINE_SIP_TLS_PORT=str(port))
    with ExitStack() as phones:
        desk = Desk(platform, port, tmp_path, phones)
        voice = desk.tenant.base_url + "/voice"
        platform.client.sip.domains.create(domain_name="secure.sip.test", voice_url=voice, secure=True)
        with SipPhone(server=platform.sip) as phone:
            assert phone.invite("sip:desk@secure.sip.test").final().status == 403
        caller = desk.phone("caller")
        caller.dial("sip:desk@secure.sip.test")
        audio.wait_for_tone(caller.heard, WAIT)
        caller.hang_up()
