"""SIP over TLS with peers that are not ours: OpenSSL's client judges the certificate and its reload, baresip calls."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from harness import audio
from harness.baresip import Baresip
from harness.ports import free_block
from harness.processes import wait_until
from harness.sip_phone import SipPhone

if TYPE_CHECKING:
    from real.conftest import Platform

pytestmark = pytest.mark.real
needs_baresip = pytest.mark.skipif(not Baresip.available(), reason="baresip is not installed (apt: baresip-core)")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def s_client(port: int, *options: str, say: bytes = b"") -> str:
    """What OpenSSL's client makes of the port; it leaves at the end of its input."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
    done = subprocess.run(command, input=say, capture_output=True, timeout=20)
    return (done.stdout + done.stderr).decode(errors="replace")


def serial(shown: str) -> str:
    """The certificate s_client printed, by what nobody can forge."""
    match = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", shown, re.S)
    assert match, shown
    return match[0]


def issue(authority: trustme.CA, folder: Path) -> tuple[Path, Path]:
    made, certificate, key = authority.issue_cert("127.0.0.1"), folder / "server.crt", folder / "server.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key


@needs_openssl
def test_the_operators_certificate_is_shown_and_reloaded_without_a_restart(start_platform: Callable[..., Platform], tmp_path: Path) -> None:
    authority, port = trustme.CA(), free_block(2)
    certificate, key = issue(authority, tmp_path)
    trusted = tmp_path / "ca.crt"
    authority.cert_pem.write_to_path(str(trusted))
    verifying = ("-CAfile", str(trusted), "-verify_return_error", "-verify_ip", "127.0.0.1")
    platform = start_platform(WAITLINE_SIP_TLS_PORT=str(port), WAITLINE_SIP_TLS_CERTIFICATE=str(certificate), WAITLINE_SIP_TLS_KEY=str(key))
    first = s_client(port, *verifying)
    assert "Verify return code: 0 (ok)" in first
    assert "tlsv1 alert protocol version" in s_client(port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")

    issue(authority, tmp_path)
    done = platform.serve.command("reload")
    assert (done.returncode, done.stdout) == (0, "new connections see the certificate that is on disk now\n")
    second = s_client(port, *verifying)
    assert "Verify return code: 0 (ok)" in second
    assert serial(second) != serial(first)

    certificate.write_text("half a certificate")
    done = platform.serve.command("reload")
    assert done.returncode == 1
    assert done.stdout.startswith("the certificate stays as it is: WAITLINE_SIP_TLS_CERTIFICATE")
    assert serial(s_client(port, *verifying)) == serial(second)


def test_a_certificate_that_cannot_be_used_is_exit_code_2_and_names_the_file(
    start_platform: Callable[..., Platform], tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=r"exit code 2[\s\S]*WAITLINE_SIP_TLS_CERTIFICATE[\s\S]*nowhere\.crt: No such file"):
        start_platform(
            WAITLINE_SIP_TLS_PORT="0", WAITLINE_SIP_TLS_CERTIFICATE=str(tmp_path / "nowhere.crt"), WAITLINE_SIP_TLS_KEY="nowhere.key"
        )


@needs_openssl
def test_a_certificate_that_went_bad_costs_no_call_when_control_is_replaced(
    start_platform: Callable[..., Platform], tmp_path: Path
) -> None:
    port = free_block(2)
    certificate, key = issue(trustme.CA(), tmp_path)
    platform = start_platform(WAITLINE_SIP_TLS_PORT=str(port), WAITLINE_SIP_TLS_CERTIFICATE=str(certificate), WAITLINE_SIP_TLS_KEY=str(key))
    tone = platform.tenant().serves("/tone.wav", audio.wav(audio.tone(660, 5.0)), "audio/wav")
    platform.answers(f"<Response><Play loop='0'>{tone}</Play></Response>")
    with SipPhone(server=platform.sip) as phone:
        call = phone.invite("+15550100")
        call.answered()
        call.ear.wait_for_tone(660)
        whole = certificate.read_bytes()
        certificate.write_text("half a certificate")
        os.kill(platform.serve.control(), signal.SIGKILL)
        platform.serve.log.wait_for("no SIP over TLS until", within_s=20)
        call.ear.hear(0.5)
        certificate.write_bytes(whole)
        wait_until(lambda: platform.serve.command("reload").returncode == 0, 10, platform.log)
        assert "BEGIN CERTIFICATE" in s_client(port)
        call.hang_up()


@needs_baresip
@needs_openssl
def test_baresip_registers_and_calls_over_tls_with_the_self_signed_certificate(
    start_platform: Callable[..., Platform], tmp_path: Path
) -> None:
    port = free_block(2)
    platform = start_platform(WAITLINE_SIP_TLS_PORT=str(port))
    tenant, sip = platform.tenant(), platform.client.sip
    tone = tenant.serves("/tone.wav", audio.wav(audio.tone(660, 5.0)), "audio/wav")
    voice = tenant.answers("/voice", f"<Response><Play loop='0'>{tone}</Play></Response>")
    users = sip.credential_lists.create("phones").sid
    sip.credential_lists(users).credentials.create("bob", "Correct-Horse-7")
    domain = sip.domains.create(domain_name="tls.sip.test", voice_url=voice, sip_registration=True).sid
    sip.domains(domain).auth.calls.credential_list_mappings.create(users)
    sip.domains(domain).auth.registrations.credential_list_mappings.create(users)
    bob = Baresip(
        tmp_path / "bob",
        user="bob",
        password="Correct-Horse-7",
        server=("127.0.0.1", port),
        domain="tls.sip.test",
        register=True,
        transport="tls",
        trusts=platform.folder / "data" / "sip-tls.crt",
    )
    with bob:
        bob.wait_until_registered()
        bob.dial("+15550100")
        bob.wait_for("CALL_ESTABLISHED")
        audio.wait_for_tone(bob.heard, 660)
        bob.hang_up()
        bob.wait_for("CALL_CLOSED")
    assert tenant.requests("/voice")[0].params["From"] == "sip:bob@tls.sip.test"
