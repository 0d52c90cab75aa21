"""All routes that need credentials, in the order of matching: fixed words before ``{sid}``."""

from __future__ import annotations

from waitline.api import (
    accounts,
    applications,
    audit,
    auth_tokens,
    calls,
    keys,
    members,
    notifications,
    numbers,
    queues,
    sip_addresses,
    sip_credentials,
    sip_domains,
    sip_lists,
    sip_mappings,
)

ALL = (
    *accounts.ROUTES, *auth_tokens.ROUTES, *audit.ROUTES, *keys.ROUTES, *queues.ROUTES, *members.ROUTES, *calls.ROUTES,
    *notifications.ROUTES, *numbers.ROUTES, *applications.ROUTES, *sip_domains.ROUTES, *sip_lists.ROUTES, *sip_credentials.ROUTES,
    *sip_addresses.ROUTES, *sip_mappings.ROUTES,
)  # fmt: skip
