"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TYPES: dict[str, Any] = {"text": sa.Text, "int": sa.BigInteger, "bool": sa.Boolean, "float": sa.Float}
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Table: its serial column, then its columns as name[:type][?]; text where no type is said, ? where it may be null.
_TABLES = {
    "accounts": "serial sid friendly_name auth_token owner_account_sid status date_created:int date_updated:int",
    "api_keys": "serial sid account_sid friendly_name secret_hash date_created:int date_updated:int",
    "queues": "serial sid account_sid friendly_name max_size:int wait_retry_s:float date_created:int date_updated:int",
    "incoming_phone_numbers": (
        "serial sid account_sid phone_number friendly_name voice_url voice_method voice_fallback_url voice_fallback_method "
        "voice_application_sid voice_caller_id_lookup:bool status_callback status_callback_method trunk_sid date_created:int "
        "date_updated:int"
    ),
    "applications": (
        "serial sid account_sid friendly_name voice_url voice_method voice_fallback_url voice_fallback_method "
        "voice_caller_id_lookup:bool status_callback status_callback_method date_created:int date_updated:int"
    ),
    "sip_domains": (
        "serial sid account_sid domain_name friendly_name voice_url voice_method voice_fallback_url voice_fallback_method "
        "voice_status_callback_url voice_status_callback_method sip_registration:bool secure:bool date_created:int "
        "date_updated:int"
    ),
    "credential_lists": "serial sid account_sid friendly_name date_created:int date_updated:int",
    "credentials": "serial sid account_sid credential_list_sid username ha1_md5 ha1_sha256 date_created:int date_updated:int",
    "ip_access_control_lists": "serial sid account_sid friendly_name date_created:int date_updated:int",
    "ip_addresses": (
        "serial sid account_sid ip_access_control_list_sid friendly_name ip_address cidr_prefix_length:int date_created:int "
        "date_updated:int"
    ),
    "domain_mappings": "serial sid account_sid domain_sid kind friendly_name date_created:int date_updated:int",
    "calls": (
        "serial sid account_sid parent_call_sid to from_ phone_number_sid status direction start_time:int? end_time:int? "
        "duration_s:int? end_reason forwarded_from caller_name sip_call_id date_created:int date_updated:int"
    ),
    "notifications": (
        "serial sid account_sid call_sid log:int error_code:int message_text message_date:int request_method request_url "
        "request_variables response_body date_created:int date_updated:int"
    ),
    "live_states": "serial kind key version:int data",
    "queue_events": "id account_sid queue_sid call_sid at:int kind detail",
    "call_events": "id account_sid call_sid at:int request response",
}
_UNIQUE = [
    ("accounts_sid_key", "accounts", "sid"),
    ("api_keys_sid_key", "api_keys", "sid"),
    ("queues_account_sid_friendly_name_key", "queues", "account_sid friendly_name"),
    ("queues_sid_key", "queues", "sid"),
    ("incoming_phone_numbers_phone_number_key", "incoming_phone_numbers", "phone_number"),
    ("incoming_phone_numbers_sid_key", "incoming_phone_numbers", "sid"),
    ("applications_sid_key", "applications", "sid"),
    ("sip_domains_domain_name_key", "sip_domains", "domain_name"),
    ("sip_domains_sid_key", "sip_domains", "sid"),
    ("credential_lists_sid_key", "credential_lists", "sid"),
    ("credentials_credential_list_sid_username_key", "credentials", "credential_list_sid username"),
    ("credentials_sid_key", "credentials", "sid"),
    ("ip_access_control_lists_sid_key", "ip_access_control_lists", "sid"),
    ("ip_addresses_sid_key", "ip_addresses", "sid"),
    ("domain_mappings_domain_sid_kind_sid_key", "domain_mappings", "domain_sid kind sid"),
    ("calls_sid_key", "calls", "sid"),
    ("notifications_sid_key", "notifications", "sid"),
    ("live_states_kind_key_key", "live_states", "kind key"),
]
_INDEXES = [
    ("calls_account", "calls", "account_sid serial"),
    ("notifications_account", "notifications", "account_sid serial"),
    ("notifications_call", "notifications", "call_sid serial"),
    ("queue_events_call", "queue_events", "call_sid id"),
    ("queue_events_queue", "queue_events", "queue_sid id"),
    ("call_events_call", "call_events", "call_sid id"),
]
_LIVE = sa.text("status IN ('queued', 'initiated', 'ringing', 'in-progress')")


def upgrade() -> None:
    """Make every table."""
    for name, columns in _TABLES.items():
        serial, *described = columns.split()
        unique = [sa.UniqueConstraint(*key.split(), name=constraint) for constraint, table, key in _UNIQUE if table == name]
        op.create_table(name, sa.Column(serial, _SERIAL, primary_key=True, autoincrement=True), *map(_column, described), *unique)
    op.create_table("settings", sa.Column("name", sa.Text(), primary_key=True), sa.Column("value", sa.Text(), nullable=False))
    op.create_table("counters", sa.Column("name", sa.Text(), primary_key=True), sa.Column("value", sa.BigInteger(), nullable=False))
    for index, table, key in _INDEXES:
        op.create_index(index, table, key.split())
    op.create_index("calls_live", "calls", ["status"], sqlite_where=_LIVE, postgresql_where=_LIVE)


def _column(described: str) -> sa.Column[Any]:
    name, _, kind = described.removesuffix("?").partition(":")
    return sa.Column(name, _TYPES[kind or "text"](), nullable=described.endswith("?"))
