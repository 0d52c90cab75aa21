"""A route as data, and the way of one request to its handler.

Whatever has a route passes the same door, in this order, so that nothing is told to who may not know it: authenticate (401), find the
account that the path names (404), read the parameters' text (400, 413, 415), run the handler, which finds its records (404) before it
reads the parameters' values (400).

A handler is ``async (Ask) -> Answer``. ``Ask`` knows the services, who asks, for which account, and finds records that are that account's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aiohttp import web

from waitline.api import auth, params, problems, repeats, trail, wire
from waitline.api.params import Param
from waitline.api.ports import Services
from waitline.api.problems import TooManyRequests, not_found
from waitline.api.render import API_VERSION, BASE, Json
from waitline.api.shapes import Schema
from waitline.api.turns import Turns
from waitline.bridge.limits import Rates
from waitline.bridge.store.records import Account, AuditEntry
from waitline.errors import ApiError

ACCOUNT = "/Accounts/{account_sid}"
TOO_MANY, SERVER_ERROR = 429, 500

SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
TURNS: web.AppKey[Turns] = web.AppKey("turns", Turns)
RATES: web.AppKey[Rates] = web.AppKey("rates", Rates)


class Owned(Protocol):
    @property
    def account_sid(self) -> str: ...


O = TypeVar("O", bound=Owned)
O_co = TypeVar("O_co", bound=Owned, covariant=True)


class Records(Protocol[O_co]):
    def get(self, sid: str, /) -> O_co | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a handler gives: a status and a JSON body, or none (204)."""

    status: int = 200
    body: Json | None = None
    replayed: bool = False
    """It is the answer to an earlier request with the same key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One authenticated request, as a handler sees it."""

    services: Services
    principal: auth.Principal
    account: Account
    """Whom the path names; the principal's own where it names none."""
    route: Route
    path: str
    names: Mapping[str, str]
    """The path's variable parts."""
    pairs: wire.Pairs
    source: str
    """The address that the request came from"""
    turns: Turns = field(repr=False)
    """For looking whether a name that must be unique is free, and taking it."""

    def given(self) -> dict[str, Any]:
        """The parameters sent, read and checked, by record field."""
        return params.read(self.route.params, self.pairs)

    def own(self, records: Records[O], name: str = "sid") -> O:
        """The account's record that a part of the path names. ApiError 404."""
        record = records.get(self.names[name])
        if record is None or record.account_sid != self.account.sid:
            raise self.not_found()
        return record

    def not_found(self) -> Exception:
        return not_found(self.path)


Handler = Callable[[Ask], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path; ``path`` begins after the version."""

    method: str
    path: str
    handler: Handler
    summary: str
    params: tuple[Param, ...] = ()
    status: int = 200
    answer: Schema | None = None
    """The shape of the body; None where there is none."""
    for_inactive: bool = False
    """Changes an account that is not active, too."""
    version: str = API_VERSION

    @property
    def full_path(self) -> str:
        return f"/{self.version}{self.path}"

    @property
    def changes(self) -> bool:
        return self.method != "GET"

    def turn(self, path: str) -> str | None:
        """The address of the record that requests change one at a time: the one named, or the one created in, which may be about to go.

        None for a reader, and for what is created in an account: that need not wait for anything.
        """
        named, _, creates = self.path.rpartition("}")
        if not self.changes or named.count("{") < (1 if creates == ".json" else 2):
            return None
        return "/".join(path.removesuffix(".json").split("/")[: (BASE + named).count("/") + 1]) + ".json"


def entry(route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The route as a handler of the HTTP library."""

    async def handle(request: web.Request) -> web.Response:
        ask = await _admit(request, route)
        key = repeats.key_of(request.headers) if route.method == "POST" else ""
        answer = await (_run_once(ask, key) if key else _run(ask))
        headers = dict([repeats.REPLAYED]) if answer.replayed else {}
        if answer.body is None:
            return web.Response(status=answer.status, headers=headers)
        return web.json_response(answer.body, status=answer.status, headers=headers)

    return handle


async def _run(ask: Ask) -> Answer:
    """Have the handler do it, and the audit log say so where it is a change."""
    if not ask.route.changes:
        return await _carry_out(ask)
    store, clock, entry = ask.services.store, ask.services.clock, _entry(ask)
    store.append(entry)
    try:
        answer = await _carry_out(ask)
    except Exception as error:
        store.append(trail.refused(entry, clock, error))
        raise
    store.append(trail.answered(entry, clock, status=answer.status, body=answer.body))
    return answer


def _entry(ask: Ask) -> AuditEntry:
    now = ask.services.clock.utc()
    return AuditEntry(
        sid=ask.services.sids.new("AE"), account_sid=ask.account.sid, actor_sid=ask.principal.sid, address=ask.source,
        method=ask.route.method, path=ask.path[: trail.LONGEST_PATH], resource_sid=trail.resource(ask.names, ask.account.sid),
        changed=trail.names_of(ask.route.params, ask.pairs), status=trail.UNKNOWN, date_created=now, date_updated=now,
    )  # fmt: skip


async def _carry_out(ask: Ask) -> Answer:
    """Run the handler, one at a time where it changes a record."""
    _check_room(ask)
    turn = ask.route.turn(ask.path)
    async with ask.turns.alone(turn) if turn else nullcontext():
        return await ask.route.handler(ask)


async def _run_once(ask: Ask, key: str) -> Answer:
    """``_run`` for a request that may be repeated: a refusal is an answer that is kept, too."""
    services = ask.services
    asked = repeats.Request(account_sid=ask.account.sid, key=key, path=ask.path, pairs=ask.pairs)

    async def run() -> repeats.Outcome:
        try:
            answer = await _run(ask)
        except ApiError as error:
            if error.status == TOO_MANY or error.status >= SERVER_ERROR:
                raise
            return repeats.Outcome(status=error.status, body=problems.body(status=error.status, code=error.code, message=str(error)))
        return repeats.Outcome(status=answer.status, body=answer.body)

    async with ask.turns.alone(asked.sid):
        outcome = await repeats.once(asked, run, store=services.store, clock=services.clock)
    return Answer(status=outcome.status, body=outcome.body, replayed=outcome.replayed)


def _check_room(ask: Ask) -> None:
    services = ask.services
    if ask.route.status == 201 and services.records and services.store.image.count_of(ask.account.sid) >= services.records:
        raise ApiError(f"The account has the {services.records} records that it may have", status=403, code=20010)


async def _admit(request: web.Request, route: Route) -> Ask:
    services = request.app[SERVICES]
    principal = await auth.admit(services.store, request.headers.get("Authorization"))
    if wait_s := request.app[RATES].take(principal.account.sid, services.clock.now()):
        raise TooManyRequests(wait_s)
    account = _account(request, services, principal)
    if route.changes and not route.for_inactive:
        auth.check_active(account)
    pairs = await wire.read_form(request) if route.method == "POST" else wire.parse_pairs(request.rel_url.raw_query_string)
    return Ask(
        services=services, principal=principal, account=account, route=route, path=request.path, names=request.match_info,
        pairs=pairs, source=request.remote or "", turns=request.app[TURNS],
    )  # fmt: skip


def _account(request: web.Request, services: Services, principal: auth.Principal) -> Account:
    sid = request.match_info.get("account_sid")
    if sid is None:
        return principal.account
    account = services.store.image.accounts.get(sid)
    if account is None or not auth.may_act_on(principal, account):
        raise not_found(request.path)
    return account
