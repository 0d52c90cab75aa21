"""What is kept, one frozen dataclass per table row.

A record is plain data: strings, numbers, booleans, dates (UTC) and JSON-able dictionaries. Dates of durable facts are UTC and for people;
an order that matters (queue members) is never taken from them. Secrets appear here decrypted and are encrypted by the store on their way
to disk (the fields named in ``SECRET_FIELDS``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    sid: str
    friendly_name: str
    auth_token: str = field(repr=False)
    owner_account_sid: str
    """The parent's sid; the account's own where it has no parent."""
    status: str = "active"
    """active | suspended | closed"""
    secondary_auth_token: str | None = field(default=None, repr=False)
    """Taken for REST beside the first, while the tenant changes over to it; webhooks are signed with the first."""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    sid: str
    account_sid: str
    friendly_name: str
    secret_hash: str = field(repr=False)
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    sid: str
    account_sid: str
    friendly_name: str
    max_size: int = 1000
    wait_retry_s: float = 0.0
    """Extension: how long a failing wait application is retried before QueueResult ``error``; 0 for ever."""
    resume_window_s: float = 0.0
    """Extension: how long the place of a caller whose line drops is kept, unless its Enqueue says; 0: not at all."""
    drain_url: str = ""
    """Extension: the document for those who wait when the platform drains; empty: the operator's, if there is one."""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingPhoneNumber:
    sid: str
    account_sid: str
    phone_number: str
    """E.164 with its plus; unique over all accounts."""
    friendly_name: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    voice_application_sid: str = ""
    voice_caller_id_lookup: bool = False
    status_callback: str = ""
    status_callback_method: str = "POST"
    trunk_sid: str = ""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    sid: str
    account_sid: str
    friendly_name: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    voice_caller_id_lookup: bool = False
    status_callback: str = ""
    status_callback_method: str = "POST"
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SipDomain:
    sid: str
    account_sid: str
    domain_name: str
    """Lower case, unique over all accounts."""
    friendly_name: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    voice_status_callback_url: str = ""
    voice_status_callback_method: str = "POST"
    sip_registration: bool = False
    secure: bool = False
    media_encryption: str = ""
    """off | offered | required; empty: what the platform does"""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialList:
    sid: str
    account_sid: str
    friendly_name: str
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    sid: str
    account_sid: str
    credential_list_sid: str
    username: str
    ha1_md5: str = field(repr=False)
    ha1_sha256: str = field(repr=False)
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IpAccessControlList:
    sid: str
    account_sid: str
    friendly_name: str
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IpAddress:
    sid: str
    account_sid: str
    ip_access_control_list_sid: str
    friendly_name: str
    ip_address: str
    cidr_prefix_length: int = 32
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainMapping:
    """A credential list or IP list that guards a domain. ``kind``: calls-credentials | calls-ips | registrations-credentials."""

    sid: str
    """The mapped list's own sid: a list is mapped to a domain once per kind; (domain_sid, kind, sid) is the key."""
    account_sid: str
    domain_sid: str
    kind: str
    friendly_name: str
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call as the REST interface shows it. Written at start, at answer and at end."""

    sid: str
    account_sid: str
    parent_call_sid: str = ""
    to: str
    from_: str
    phone_number_sid: str = ""
    status: str
    """queued ringing in-progress completed busy failed no-answer canceled"""
    direction: str = "inbound"
    start_time: datetime | None = None
    """When it was answered; the date of creation where it never was."""
    end_time: datetime | None = None
    duration_s: int | None = None
    end_reason: str = ""
    """Extension: why it ended, in one word of ours (caller-hung-up, media-timeout, document-ended, …)."""
    forwarded_from: str = ""
    caller_name: str = ""
    sip_call_id: str = ""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEventRecord:
    """One line of the append-only event log that statistics are derived from."""

    id: int = 0
    """Given by the store."""
    account_sid: str
    queue_sid: str
    call_sid: str
    at: datetime
    kind: str
    """joined | claimed | released | left"""
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One entry of the tenant's debugger."""

    sid: str
    account_sid: str
    call_sid: str = ""
    log: int
    """0 error, 1 warning"""
    error_code: int
    message_text: str
    message_date: datetime
    request_method: str = ""
    request_url: str = ""
    request_variables: str = ""
    response_body: str = ""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """One webhook of a call: what was asked and what came back (``Calls/{CA}/Events``)."""

    id: int = 0
    account_sid: str
    call_sid: str
    at: datetime
    request: dict[str, Any]
    """method, url, parameters"""
    response: dict[str, Any]
    """response_code, content_type, body, duration_ms, error_code"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """Something that is going on, as plain data, for the control process that takes over: gone when it is over.

    The data is its owner's, ``version`` the form it is written in.
    """

    kind: str
    """call | member | place | callback | conversation | farewell | registration"""
    key: str
    version: int
    data: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestAnswer:
    """What a REST request that may be repeated was answered."""

    sid: str
    """Made of the account and the client's key"""
    account_sid: str
    fingerprint: str
    """A hash of what was asked"""
    status: int
    """HTTP's; 0: begun, and not answered yet"""
    body: str = field(repr=False)
    """JSON; it may hold secrets that are shown once"""
    date_created: datetime
    date_updated: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change that was asked for over REST."""

    sid: str
    account_sid: str
    """Whose things"""
    actor_sid: str
    """The account (by a token) or the API key that asked"""
    address: str
    """From where; a proxy's where there is one"""
    method: str
    path: str
    resource_sid: str
    changed: str
    """Names of the parameters that were sent, with spaces between"""
    status: int
    """HTTP's; 0: not known"""
    error_code: int = 0
    date_created: datetime
    date_updated: datetime


SECRET_FIELDS = {Account: ("auth_token", "secondary_auth_token"), Credential: ("ha1_md5", "ha1_sha256"), RestAnswer: ("body",)}
