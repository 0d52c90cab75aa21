"""The application: all routes behind one middleware that speaks the wire contract's errors.

Whatever happens, the answer is JSON with a ``Twilio-Request-Id``. A refusal is told as it is; a bug is logged with its traceback under the
request's identifier, and the peer learns the identifier only.
"""

from __future__ import annotations

import math
from functools import cache

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from waitline.api import openapi, operating, problems, resources, routing
from waitline.api.ports import Services
from waitline.api.turns import Turns
from waitline.bridge.limits import Rates
from waitline.bridge.store.errors import StoreUnavailable
from waitline.errors import ApiError, DocumentError, Refused

MAX_BODY_BYTES = 128 * 1024
"""A document of 4,000 characters, each escaped as four bytes, is 48 kB."""
RETRY_AFTER_S = 5
NOT_KEPT = "Unavailable for the moment: the platform's database cannot be used just now; nothing was changed, and calls go on"
REQUEST_ID_HEADER = "Twilio-Request-Id"
_log = structlog.stdlib.get_logger("waitline.api")


def create_app(services: Services) -> web.Application:
    """The REST interface and the operators' routes, ready for a server."""
    app = web.Application(middlewares=[_boundary(services)], client_max_size=MAX_BODY_BYTES)
    app[routing.SERVICES] = services
    app[routing.TURNS] = Turns()
    app[routing.RATES] = Rates(services.requests_per_s, burst_s=10.0)
    app[operating.DOCUMENT] = _document()
    for route in resources.ALL:
        app.router.add_route(route.method, route.full_path, routing.entry(route))
    for open_route in operating.ROUTES:
        app.router.add_route("GET", open_route.path, open_route.handler)
    return app


@cache
def _document() -> str:
    """What the routes say of themselves: the same for every app, and slower to make than all the rest of one."""
    return operating.as_text(openapi.document(resources.ALL, operating.ROUTES))


def _boundary(services: Services) -> Middleware:
    """The middleware: measures, names and translates."""
    seconds = Histogram("waitline_api_seconds", "Time to answer a REST request", ["method", "route", "status"], registry=services.registry)

    @web.middleware
    async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
        started, request_id = services.clock.now(), services.sids.new("RQ")
        response = await _answer(request, handler, request_id)
        response.headers[REQUEST_ID_HEADER] = request_id
        response.headers["Server"] = "Waitline"  # the library's own value tells its version and the interpreter's
        resource = request.match_info.route.resource
        route = "unknown" if resource is None else resource.canonical
        seconds.labels(request.method if resource else "any", route, str(response.status)).observe(services.clock.now() - started)
        return response

    return boundary


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except problems.TooManyRequests as error:
        return _problem(error.status, error.code, str(error), {"Retry-After": str(math.ceil(error.retry_after_s))})
    except ApiError as error:
        return _problem(error.status, error.code, str(error))
    except DocumentError as error:
        return _problem(400, error.code, str(error))
    except web.HTTPMethodNotAllowed as error:
        return _problem(405, 20004, f"{request.path} does not know {request.method}", {"Allow": error.headers["Allow"]})
    except web.HTTPNotFound:
        return _refusal(problems.not_found(request.path))
    except web.HTTPException as error:
        return _problem(error.status, 20000 + error.status, error.reason)
    except (Refused, StoreUnavailable) as error:
        _log.warning("request refused for now", request_id=request_id, method=request.method, path=request.path, why=str(error))
        message = NOT_KEPT if isinstance(error, StoreUnavailable) else "Unavailable for the moment"
        return _problem(503, 20503, message, {"Retry-After": str(RETRY_AFTER_S)})
    except Exception:
        _log.exception("request failed", request_id=request_id, method=request.method, path=request.path)
        return _problem(500, 20500, f"Internal error, logged as {request_id}")


def _refusal(error: ApiError) -> web.Response:
    return _problem(error.status, error.code, str(error))


def _problem(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    challenge = {"WWW-Authenticate": 'Basic realm="Waitline API"'} if status == 401 else {}
    body = problems.body(status=status, code=code, message=message)
    return web.json_response(body, status=status, headers={**challenge, **(headers or {})})
