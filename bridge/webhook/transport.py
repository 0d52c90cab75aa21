"""The real network: aiohttp with its conveniences off. No redirects, cookies, proxies from the environment, netrc or decompression of its
own: each of them would go round the guard, the signature or the size limit.

The guard is asked twice: for an address written in the URL before the request, for a name by the resolver, whose answer is what the
connector connects to. A kept-alive connection that the server closed just as we wrote to it is tried again on another one: that is a race
of ours, not a failure of the tenant's, and the idempotency token lets its server see that it is the same request.
"""

from __future__ import annotations

import errno
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from types import SimpleNamespace

import aiohttp
from yarl import URL

from waitline.bridge.webhook.body import gatherer
from waitline.bridge.webhook.exchange import HttpRequest, HttpResponse
from waitline.bridge.webhook.faults import Failure, Fault
from waitline.bridge.webhook.guard import HostGuard, HostRefused
from waitline.bridge.webhook.resolver import GuardedResolver

KEEP_ALIVE_S = 4.0  # less than the 5 s after which common servers close
STALE_CONNECTIONS = 3


class AiohttpTransport:
    """``tls``: True verifies certificates by the system's authorities, an SSLContext by its own, False not at all."""

    def __init__(
        self, *, guard: HostGuard, tls: ssl.SSLContext | bool = True, connections: int = 1000, resolver: GuardedResolver | None = None
    ) -> None:
        self._guard = guard
        self._tls = tls
        self._connections = connections
        self._resolver = resolver or GuardedResolver(guard)
        self._open: aiohttp.ClientSession | None = None

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        self._check_literal(request.url)
        for _ in range(STALE_CONNECTIONS):
            connection = _Connection()
            try:
                return await self._once(request, connection)
            except HostRefused as error:
                raise Failure(Fault.FORBIDDEN_HOST, str(error)) from error
            except (aiohttp.ClientError, OSError) as error:
                if not connection.was_stale(error):
                    raise _failure(error) from error
        raise Failure(Fault.CONNECTION_LOST, "the server closes kept-alive connections as they are used")

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()
        await self._resolver.close()

    async def _once(self, request: HttpRequest, connection: _Connection) -> HttpResponse:
        timeout = aiohttp.ClientTimeout(total=None, connect=request.connect_s, sock_read=request.read_s)
        sending = self._session().request(
            request.method, URL(request.url, encoded=True), headers=request.headers, data=request.body or None,
            allow_redirects=False, timeout=timeout, trace_request_ctx=connection,
        )  # fmt: skip
        async with sending as response:
            connection.answered = True
            return HttpResponse(status=response.status, headers=tuple(response.headers.items()), body=await _read(response, request))

    def _session(self) -> aiohttp.ClientSession:
        """Opened with the first request: it belongs to the running loop."""
        if self._open is None:
            connector = aiohttp.TCPConnector(
                limit=self._connections, limit_per_host=max(1, self._connections // 2), resolver=self._resolver, ssl=self._tls,
                keepalive_timeout=KEEP_ALIVE_S,
            )  # fmt: skip
            trace: aiohttp.TraceConfig = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._open = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False, trace_configs=[trace],
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            )  # fmt: skip
        return self._open

    def _check_literal(self, url: str) -> None:
        host = URL(url, encoded=True).host or ""
        if not (":" in host or host.replace(".", "").isdigit()):
            return  # a name: the resolver's affair
        try:
            self._guard.check(host, str(ip_address(host.partition("%")[0])))
        except HostRefused as error:
            raise Failure(Fault.FORBIDDEN_HOST, str(error)) from error
        except ValueError as error:  # 127.1 and 2130706433 are addresses to some and names to nobody
            raise Failure(Fault.UNKNOWN_HOST, host) from error


@dataclass(slots=True)
class _Connection:
    """What one attempt learnt about the connection it went over."""

    reused: bool = False
    answered: bool = False

    def was_stale(self, error: Exception) -> bool:
        """It was kept alive, and gone before it brought anything."""
        lost = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError)
        return self.reused and not self.answered and lost and not isinstance(error, aiohttp.ClientConnectorError)


async def _note_reuse(session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionReuseconnParams) -> None:
    context.trace_request_ctx.reused = True


async def _read(response: aiohttp.ClientResponse, request: HttpRequest) -> bytes:
    limit = request.limit(response.headers.get("Content-Type", ""))
    if (response.content_length or 0) > limit:
        raise Failure(Fault.TOO_LARGE, f"{response.content_length} bytes, more than {limit}")
    body = gatherer(response.headers.get("Content-Encoding", ""), limit=limit)
    async for piece in response.content.iter_any():
        body.feed(piece)
    return body.finish()


_FAULTS: tuple[tuple[type[BaseException], Fault], ...] = (  # the first that fits
    (aiohttp.ClientConnectorCertificateError, Fault.CERTIFICATE),
    (aiohttp.ClientSSLError, Fault.TLS),
    (aiohttp.ClientConnectorDNSError, Fault.UNKNOWN_HOST),
    (aiohttp.ClientConnectorError, Fault.UNREACHABLE),
    (aiohttp.ConnectionTimeoutError, Fault.CONNECT_TIMEOUT),
    (aiohttp.ServerTimeoutError, Fault.READ_TIMEOUT),
    (aiohttp.InvalidURL, Fault.BAD_URL),
    (aiohttp.ClientResponseError, Fault.PROTOCOL),
    (aiohttp.ClientConnectionError, Fault.CONNECTION_LOST),
    (OSError, Fault.CONNECTION_LOST),
    (aiohttp.ClientError, Fault.PROTOCOL),
)
_ERRNO = {errno.ECONNREFUSED: Fault.CONNECTION_REFUSED, errno.ETIMEDOUT: Fault.CONNECT_TIMEOUT}
_VERIFY_CODES = {62: Fault.CERTIFICATE_HOST, 64: Fault.CERTIFICATE_HOST, 10: Fault.CERTIFICATE_EXPIRED}  # OpenSSL's X509_V_ERR_*


def _failure(error: Exception) -> Failure:
    fault = next(fault for kind, fault in _FAULTS if isinstance(error, kind))
    if fault is Fault.CERTIFICATE:
        fault = _VERIFY_CODES.get(getattr(error.__cause__, "verify_code", 0), fault)
    elif fault is Fault.UNREACHABLE and isinstance(error, OSError):
        fault = _ERRNO.get(error.errno or 0, fault)
    elif isinstance(error, aiohttp.ClientPayloadError) and "not completed" in str(error):
        fault = Fault.CONNECTION_LOST  # it broke off; no type of aiohttp's tells that from a body that breaks the rules
    return Failure(fault, str(error) or type(error).__name__)
