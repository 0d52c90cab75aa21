"""A drain on a running platform: what the operator sees, what phones and the tenant get, what is on record afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from harness import audio
from harness.serve import Serve
from harness.sip_phone import SipPhone

if TYPE_CHECKING:
    from real.conftest import Platform

pytestmark = pytest.mark.real


def test_a_drain_refuses_new_calls_sends_who_waits_and_ends_the_rest_at_its_deadline(platform: Platform) -> None:
    tenant = platform.tenant()
    for name, hz in (("/tone", 440), ("/sorry-tone", 700)):
        tenant.serves(name, audio.wav(audio.tone(hz, 2.0)), "audio/wav")
    tenant.answers("/wait", "<Response><Play>/tone</Play></Response>")
    tenant.answers("/done", "<Response/>")
    tenant.answers("/status", "")
    sorry = tenant.answers("/sorry", "<Response><Play loop='0'>/sorry-tone</Play></Response>")
    document = "<Response><Enqueue waitUrl='/wait' action='/done'>support</Enqueue></Response>"
    platform.number(tenant.answers("/voice", document), status_callback=tenant.base_url + "/status")
    queue = platform.client.queues.create(friendly_name="support")
    form = {"DrainUrl": sorry}
    platform.client.request("POST", f"{platform.base_url}/2010-04-01/Accounts/{platform.account_sid}/Queues/{queue.sid}.json", data=form)
    with SipPhone(server=platform.sip) as phone:
        call = phone.invite("+15550100")
        call.answered()
        call.ear.wait_for_tone(440)
        shown = platform.serve.command("drain", "--status")
        assert shown.returncode == 0
        assert shown.stdout.startswith("takes calls: ")
        platform.serve.terminate()
        call.ear.wait_for_tone(700)
        assert tenant.wait_for("/done").params["QueueResult"] == "redirected"
        refusal = phone.invite("+15550100").refused()
        assert (refusal.status, bool(refusal["retry-after"])) == (503, True)
        with pytest.raises(HTTPError, match="503"):
            urlopen(f"{platform.base_url}/readyz", timeout=10)
        shown = platform.serve.command("drain", "--status")
        assert shown.returncode == 3
        assert shown.stdout.startswith("draining: 1 call")
        done = platform.serve.command("drain", "--deadline", "1s")  # another deadline, for the one before is ten minutes away
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ended")
        assert platform.serve.process.wait(10) == 0
        call.hung_up()
    told = tenant.wait_for("/status").params
    assert (told["CallStatus"], told["CallSid"]) == ("completed", tenant.requests("/voice")[0].params["CallSid"])
    again = Serve.start(platform.folder)
    try:
        platform.client.api.base_url = again.base_url
        (record,) = platform.client.calls.list()
        assert record.status == "completed"
    finally:
        again.stop()
