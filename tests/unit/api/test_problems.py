"""Whatever goes wrong, the peer gets JSON with a code, and the log gets the rest (platform contract 5.3)."""

from __future__ import annotations

import asyncio
import re

import pytest
from harness.rest import Rest, rest
from harness.virtual_time import run
from structlog.testing import capture_logs

from waitline.api.app import MAX_BODY_BYTES
from waitline.api.problems import CODES
from waitline.bridge.store.errors import StoreUnavailable


def test_the_body_has_four_members_and_leads_to_an_explanation():
    async def story():
        async with rest() as api:
            path = f"/2010-04-01/Accounts/{api.account.sid}/Queues/QU{'0' * 32}.json"
            reply = await api.get(path)
            assert reply.body == {
                "code": 20404, "message": f"The requested resource {path} was not found", "more_info": "/errors/20404", "status": 404,
            }  # fmt: skip
            explained = await api.request("GET", "/" + reply.body["more_info"], auth=None)
            assert explained.body == {"code": 20404, "message": CODES[20404]}

    run(story())


@pytest.mark.parametrize(
    "path", ["//", "//nothing", "//2010-04-01", "//2010-04-01/Accounts", "/Queues", "/Unknown.json", "//errors/1", "//errors/x"]
)
def test_a_path_without_a_route_is_a_404_in_json(path):
    async def story():
        async with rest() as api:
            reply = await api.get(path)
            assert (reply.status, reply.code) == (404, 20404)

    run(story())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/Queues.json", "GET,POST"),
        ("POST", "//healthz", "GET"),
        ("HEAD", "/Queues.json", "GET,POST"),
        ("DELETE", "/Calls.json", "GET,POST"),
    ],
)
def test_a_method_without_a_route_is_a_405_that_names_the_others(method, path, allowed):
    async def story():
        async with rest() as api:
            reply = await api.request(method, path)
            assert (reply.status, reply.headers["Allow"]) == (405, allowed)
            assert method == "HEAD" or reply.code == 20004

    run(story())


def test_every_answer_has_a_request_identifier_of_its_own():
    async def story():
        async with rest() as api:
            replies = [await api.get(path) for path in ("/Queues.json", "/Unknown.json", "//healthz", "/Queues.json?PageSize=0")]
            replies.append(await api.request("GET", "/Queues.json", auth=None))
            ids = [reply.headers["Twilio-Request-Id"] for reply in replies]
            assert all(re.fullmatch("RQ[0-9a-f]{32}", text) for text in ids)
            assert len(set(ids)) == len(ids)
            assert {reply.headers["Server"] for reply in replies} == {"Waitline"}

    run(story())


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b'{"FriendlyName": "x"}', "application/json", 415, 20415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415, 20415),
        (b"FriendlyName", "application/x-www-form-urlencoded", 400, 20001),
        (b"FriendlyName=%zz", "application/x-www-form-urlencoded", 400, 20001),
        (b"FriendlyName=\xff", "application/x-www-form-urlencoded", 400, 20001),
        (b"FriendlyName=%ff", "application/x-www-form-urlencoded", 400, 20001),
        (b"FriendlyName=" + b"x" * MAX_BODY_BYTES, "application/x-www-form-urlencoded", 413, 20413),
    ],
)
def test_a_body_that_is_no_form_is_refused(data, content_type, status, code):
    async def story():
        async with rest() as api:
            reply = await api.request("POST", "/Queues.json", data=data, content_type=content_type)
            assert (reply.status, reply.code) == (status, code)
            assert len(api.store.image.queues) == 0

    run(story())


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-Urlencoded"])
def test_the_forms_type_may_have_a_charset_and_any_case(content_type):
    async def story():
        async with rest() as api:
            reply = await api.request("POST", "/Queues.json", data=b"FriendlyName=%C3%BC", content_type=content_type)
            assert (reply.status, reply.body["friendly_name"]) == (201, "ü")

    run(story())


def test_a_body_that_does_not_arrive_is_given_up():
    async def story():
        async with rest() as api:

            async def drip():
                yield b"FriendlyName="
                await asyncio.sleep(60)
                yield b"x"

            reply = await api.request("POST", "/Queues.json", data=drip())
            assert (reply.status, reply.code) == (408, 20408)

    run(story())


async def _with_broken_put(api: Rest, error: Exception) -> None:
    async def put(*records: object) -> None:
        raise error

    api.store.put = put  # type: ignore[method-assign]


def test_a_bug_is_a_500_without_its_story_and_a_line_in_the_log():
    async def story():
        async with rest() as api:
            await _with_broken_put(api, ValueError("secret detail"))
            with capture_logs() as logs:
                reply = await api.post("/Applications.json")
            assert (reply.status, reply.code) == (500, 20500)
            assert "secret" not in str(reply.body)
            (line,) = logs
            assert (line["event"], line["log_level"], line["exc_info"]) == ("request failed", "error", True)
            assert line["request_id"] == reply.headers["Twilio-Request-Id"]
            assert line["request_id"] in reply.body["message"]

    run(story())


def test_a_store_that_cannot_write_is_a_503_with_the_time_to_come_back():
    async def story():
        async with rest() as api:
            await _with_broken_put(api, StoreUnavailable("disk full"))
            with capture_logs() as logs:
                reply = await api.post("/Applications.json")
            assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, 20503, "5")
            assert [line["why"] for line in logs] == ["disk full"]

    run(story())


def test_two_changes_of_one_record_at_once_are_both_kept():
    async def story():
        async with rest() as api:
            sid = (await api.post("/Applications.json")).body["sid"]
            put = api.store.put

            async def slow_put(*records: object) -> None:
                await asyncio.sleep(1)
                await put(*records)

            api.store.put = slow_put  # type: ignore[method-assign]
            path = f"/Applications/{sid}.json"
            await asyncio.gather(api.post(path, FriendlyName="both"), api.post(path, VoiceMethod="GET"))
            body = (await api.get(path)).body
            assert (body["friendly_name"], body["voice_method"]) == ("both", "GET")

    run(story())
