"""Requests to a tenant whose reply nobody needs: status callbacks, and actions of calls that are gone or run something else.

Delivered at least once: what is to be sent is kept until it has been answered or has failed for good, and sent again by a later control
process with the same token, by which the tenant can tell a repetition. It is sent only when it is durable, and with it what led to it: else
a later control process could come to say the same under another token. A failure is a Notification.
"""

from __future__ import annotations

from waitline.bridge.call import notifications, webhook_log
from waitline.bridge.call.keeping import CALLBACK
from waitline.bridge.call.services import Services
from waitline.bridge.call.state import Target
from waitline.bridge.store.records import LiveState
from waitline.bridge.webhook.client import WebhookRequest
from waitline.errors import WebhookError


def send(services: Services, *, account_sid: str, call_sid: str, target: Target) -> None:
    """Send in the background; ``target.params`` are all the parameters. A target that was being asked already keeps its token."""
    token = target.token or services.sids.new("")
    plain = {"account": account_sid, "call": call_sid, "target": target.to_plain()}
    services.keeper.keep(CALLBACK, token, plain)
    services.background.spawn(_deliver(services, token, account_sid, call_sid, target), name=f"callback {target.url}")


def again(services: Services, record: LiveState) -> None:
    """Send what a control process before this one had not seen answered."""
    plain = record.data
    target = Target.from_plain(plain["target"])
    work = _deliver(services, record.key, plain["account"], plain["call"], target)
    services.background.spawn(work, name=f"callback {target.url}")


async def _deliver(services: Services, token: str, account_sid: str, call_sid: str, target: Target) -> None:
    account = services.store.image.accounts.get(account_sid)
    request = WebhookRequest(
        url=target.url,
        method=target.method,
        params=target.params,
        account_sid=account_sid,
        auth_token=account.auth_token if account else "",
        call_sid=call_sid,
        token=token,
    )
    await services.keeper.kept()
    begun = services.clock.now()
    try:
        reply = await services.webhooks.fetch(request)
    except WebhookError as error:
        webhook_log.failed(services, request, error, services.clock.now() - begun)
        _tell(services, request, error)
    else:
        webhook_log.answered(services, request, reply)
    services.keeper.drop(CALLBACK, token)


def _tell(services: Services, request: WebhookRequest, error: WebhookError) -> None:
    notifications.write(
        services,
        account_sid=request.account_sid,
        call_sid=request.call_sid,
        code=error.code,
        message=str(error),
        url=request.url,
        method=request.method,
        variables=request.params,
        response_body=error.body.decode("utf-8", "replace"),
    )
