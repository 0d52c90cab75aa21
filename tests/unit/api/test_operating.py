"""What operators ask without credentials."""

from __future__ import annotations

from harness.rest import rest
from harness.virtual_time import run


def test_health_needs_no_credentials_and_readiness_says_why_not():
    async def story():
        reasons: list[str] = []
        async with rest(not_ready=lambda: reasons) as api:
            assert (await api.request("GET", "//healthz", auth=None)).body == {"status": "ok"}
            ready = await api.request("GET", "//readyz", auth=None)
            assert (ready.status, ready.body) == (200, {"ready": True, "reasons": [], "degraded": []})
            reasons.append("draining")
            busy = await api.request("GET", "//readyz", auth=None)
            assert (busy.status, busy.body) == (503, {"ready": False, "reasons": ["draining"], "degraded": []})

    run(story())


def test_metrics_count_requests_by_route_and_never_by_path():
    async def story():
        async with rest() as api:
            await api.get("/Queues.json")
            await api.get("//some/unknown/path")
            await api.request("PROPFIND", "//some/other/path")
            text = (await api.request("GET", "//metrics", auth=None)).body
            route = "/2010-04-01/Accounts/{account_sid}/Queues.json"
            assert f'waitline_api_seconds_count{{method="GET",route="{route}",status="200"}} 1.0' in text
            assert 'waitline_api_seconds_count{method="any",route="unknown",status="404"} 2.0' in text
            assert api.account.sid not in text

    run(story())
