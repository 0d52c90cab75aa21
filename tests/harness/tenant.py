"""A tenant: a real HTTP server (Flask) that answers as it is told, logs every request, and checks each signature with the SDK's validator.

In this process, where an answer may be a function of the request::

    with Tenant(auth_token=token) as tenant:
        tenant.answers("/voice", "<Response><Enqueue>support</Enqueue></Response>")
        tenant.answers("/wait", FIRST, THEN)            # the last one is repeated
        tenant.answers("/slow", after(3.0, XML))
        request = tenant.wait_for("/voice")
        assert request.signed and request.params["CallStatus"] == "ringing"

Or as a process of its own, with a script of plain answers (``TenantProcess``): what the tenant is in life. Both have the same log.
"""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response
from flask import request as flask_request
from twilio.request_validator import RequestValidator
from werkzeug.serving import make_server

from harness.processes import end

WITHIN_S = 10.0
XML = "text/xml; charset=utf-8"


@dataclass(frozen=True)
class TenantRequest:
    """One request as the tenant saw it; ``at`` is monotonic seconds, ``signed`` what the SDK's validator says."""

    path: str
    method: str
    params: dict[str, str]
    headers: dict[str, str]
    url: str
    signed: bool
    at: float
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What is answered: status, body, type, further headers, and after how long."""

    body: bytes | str = b""
    status: int = 200
    content_type: str = XML
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0


Given = str | bytes | Answer | Callable[[TenantRequest], "str | bytes | Answer"]


def after(seconds: float, body: str | bytes) -> Answer:
    """Return an answer that lets the platform wait."""
    return Answer(body=body, after_s=seconds)


class RequestLog:
    """The requests in the order they came; waits are woken by the next one."""

    def __init__(self) -> None:
        self._requests: list[TenantRequest] = []
        self._came = threading.Condition()

    def add(self, request: TenantRequest) -> None:
        with self._came:
            self._requests.append(request)
            self._came.notify_all()

    def requests(self, path: str | None = None) -> list[TenantRequest]:
        """Return the requests for that path, or all."""
        with self._came:
            return [request for request in self._requests if path is None or request.path == path]

    def wait_for(
        self, path: str, *, count: int = 1, within_s: float = WITHIN_S, where: Callable[[TenantRequest], object] = lambda _: True
    ) -> TenantRequest:
        """Return the ``count``-th request for that path for which ``where`` holds; fails with what came instead."""

        def found() -> list[TenantRequest]:
            return [request for request in self._requests if request.path == path and where(request)]

        with self._came:
            self._came.wait_for(lambda: len(found()) >= count, within_s)
            came = [(request.method, request.path) for request in self._requests]
            assert len(found()) >= count, f"waited {within_s} s for {path} ({count}); came: {came}"
            return found()[count - 1]


class Tenant(RequestLog):
    """The server in a thread; ``base_url`` is where it is."""

    def __init__(self, *, auth_token: str, host: str = "127.0.0.1") -> None:
        super().__init__()
        self._validator = RequestValidator(auth_token)
        self._answers: dict[str, list[Given]] = {}
        self._closing = threading.Event()
        app = Flask("tenant")
        app.add_url_rule("/", "all", self._handle, defaults={"path": ""}, methods=["GET", "POST", "HEAD"])
        app.add_url_rule("/<path:path>", "all", self._handle, methods=["GET", "POST", "HEAD"])
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server(host, 0, app, threaded=True)
        self.base_url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def answers(self, path: str, *given: Given) -> str:
        """Answer requests for that path by these, one after the other; the last is repeated. Returns the URL."""
        self._answers[path] = list(given)
        return self.base_url + path

    def serves(self, path: str, data: bytes, content_type: str, **headers: str) -> str:
        """Serve a file; returns its URL."""
        return self.answers(path, Answer(data, content_type=content_type, headers={k.replace("_", "-"): v for k, v in headers.items()}))

    def _handle(self, path: str) -> Response:
        request = self._understood(f"/{path}")
        self.add(request)
        given: Any = self._next(request.path)
        if callable(given):
            given = given(request)
        answer = given if isinstance(given, Answer) else Answer(given)
        self._closing.wait(answer.after_s)
        return Response(answer.body, answer.status, {"Content-Type": answer.content_type, **answer.headers})

    def _next(self, path: str) -> Given:
        given = self._answers.get(path)
        if not given:
            return Answer(f"no answer for {path}", status=404, content_type="text/plain")
        return given.pop(0) if len(given) > 1 else given[0]

    def _understood(self, path: str) -> TenantRequest:
        form, query = flask_request.form.to_dict(), flask_request.args.to_dict()
        url = self.base_url + flask_request.full_path.removesuffix("?")
        signature = flask_request.headers.get("X-Twilio-Signature", "")
        return TenantRequest(
            path=path,
            method=flask_request.method,
            params=query | form,
            query=query,
            headers=dict(flask_request.headers),
            url=url,
            signed=bool(self._validator.validate(url, flask_request.form, signature)),
            at=time.monotonic(),
        )

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def __enter__(self) -> Tenant:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TenantProcess(RequestLog):
    """The same server as a process of its own; answers are fixed at its start. ``{base}`` in a text becomes its base URL."""

    def __init__(self, *, auth_token: str, answers: dict[str, list[str | Answer]]) -> None:
        super().__init__()
        script = {
            path: [_as_plain(answer if isinstance(answer, Answer) else Answer(answer)) for answer in given]
            for path, given in answers.items()
        }
        environment = {"PYTHONPATH": str(Path(__file__).parent.parent)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.tenant"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"auth_token": auth_token, "script": script}) + "\n")
        self._process.stdin.flush()
        self.base_url = str(json.loads(self._process.stdout.readline())["base_url"])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.add(TenantRequest(**json.loads(line)))

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # which ends it
        self._process.wait(5)
        self._reader.join(5)
        end(self._process)

    def __enter__(self) -> TenantProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_plain(answer: Answer) -> dict[str, Any]:
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    return asdict(answer) | {"body": base64.b64encode(body).decode()}


class _Printing(Tenant):
    """A tenant that also says each request on standard output."""

    def add(self, request: TenantRequest) -> None:
        super().add(request)
        print(json.dumps(asdict(request)), flush=True)


def main() -> None:
    """Serve until standard input ends."""
    told = json.loads(sys.stdin.readline())
    with _Printing(auth_token=told["auth_token"]) as tenant:
        for path, answers in told["script"].items():
            bodies = [base64.b64decode(answer.pop("body")) for answer in answers]
            tenant.answers(path, *(Answer(_filled(body, tenant.base_url), **a) for body, a in zip(bodies, answers, strict=True)))
        print(json.dumps({"base_url": tenant.base_url}), flush=True)
        sys.stdin.read()


def _filled(body: bytes, base_url: str) -> bytes:
    return body.replace(b"{base}", base_url.encode())


if __name__ == "__main__":
    main()
