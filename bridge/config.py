"""What an operator may set: one field each, with its unit, default and meaning.

A field ``rtp_ports`` is ``WAITLINE_RTP_PORTS`` in the environment and ``rtp_ports`` in ``waitline.toml``; the environment wins. Read once
at start by ``load_config``; the result is frozen and passed to whoever needs it. A value that cannot be used is a ``ConfigError`` that
names the setting, where it was set and what is wrong with it: the command ends with exit code 2.

To add a setting, add a field with a ``description`` that says its unit and what it does; the reference in the documentation is generated
from ``settings_reference``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from waitline.errors import ConfigError

PREFIX = "WAITLINE_"
DEFAULT_FILE = "waitline.toml"
LOOPBACK = (ip_network("127.0.0.0/8"),)
T = TypeVar("T")


class Address(NamedTuple):
    """Where to listen; port 0 means any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Ports(NamedTuple):
    """A range of ports, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


Network = IPv4Network | IPv6Network


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``, IPv6 hosts in brackets."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r} is not HOST:PORT")
    if (":" in host) != (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
    return Address(host.strip("[]"), _port(port))


def parse_ports(text: str) -> Ports:
    """Read ``FIRST-LAST``."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError(f"{text!r} is not FIRST-LAST")
    ports = Ports(_port(first), _port(last))
    if ports.first == 0 or ports.last - ports.first < 1:
        raise ValueError(f"{text!r}: a range needs at least two ports, the smaller first, none of them 0")
    return ports


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read comma-separated networks or addresses, such as ``10.0.0.0/8, 192.0.2.7``."""
    return tuple(ip_network(item.strip()) for item in text.split(",") if item.strip())


def _port(text: str) -> int:
    if not text.strip().isdecimal() or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _from_text(parse: Callable[[str], T]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _networks(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # TOML has lists
        value = ",".join(value)
    return parse_networks(value) if isinstance(value, str) else value


def _base_url(text: str) -> str:
    return _web_url(text).rstrip("/")


def _web_url(text: str) -> str:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise ValueError(f"{text!r} is not a URL such as https://voice.example.org")
    return text


def _folder(value: Any) -> Any:
    if value == "":  # Path("") is the current folder: not what somebody means who leaves a variable empty
        raise ValueError("the name of a folder is missing")
    return value


def _realm(text: str) -> str:
    if not text.isprintable() or any(mark in text for mark in '"\\:'):
        raise ValueError(f"{text!r}: quotes, backslashes, colons and control characters are not possible in a realm")
    return text


def _optional(value: Any) -> Any:
    return None if value == "" else value


OptionalPortField = Annotated[int | None, Field(ge=0, le=65535), BeforeValidator(_optional)]
OptionalPathField = Annotated[Path | None, BeforeValidator(_optional)]
AddressField = Annotated[Address, NoDecode, _from_text(parse_address)]
PortsField = Annotated[Ports, NoDecode, _from_text(parse_ports)]
NetworksField = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]


class Config(BaseSettings):
    """All settings, valid by construction."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    # Where things are
    data: Annotated[Path, BeforeValidator(_folder)] = Field(
        default=Path("./waitline-data"), description="Folder of the database, the key and the locks; made if it is not there."
    )
    database: str = Field(
        default="", description="A postgresql://… URL to keep everything there instead of in the data folder's SQLite file."
    )
    key: str = Field(
        default="",
        repr=False,
        description="Base64 of 32 bytes, or a pass phrase of 12 characters or more, that secrets are encrypted with; empty: the file "
        "waitline.key in the data folder, made at first start.",
    )
    key_next: str = Field(
        default="",
        repr=False,
        description="The key that `waitline key rotate` changes to, written like key; until key is changed, data under either is opened. "
        "Empty: a new key file.",
    )
    http: AddressField = Field(default=Address("127.0.0.1", 8080), description="HOST:PORT of the REST interface; port 0: any free one.")
    public_url: Annotated[str, BeforeValidator(_base_url)] = Field(
        default="", description="Base URL under which tenants reach the REST interface; empty: http:// and the http setting."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log line that is written."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else one JSON object a line."
    )

    # SIP
    sip: AddressField = Field(
        default=Address("127.0.0.1", 5060), description="HOST:PORT of SIP over UDP and TCP; port 0: any free one, the same."
    )
    sip_tls_port: OptionalPortField = Field(
        default=None, description="Port of SIP over TLS on the host of sip, usually 5061; 0: any free one; empty: no TLS."
    )
    sip_tls_certificate: OptionalPathField = Field(
        default=None,
        description="PEM file of the certificate with its chain, read again by `waitline reload`; empty: a self-signed one, made in the "
        "data folder at first start.",
    )
    sip_tls_key: OptionalPathField = Field(default=None, description="PEM file of the certificate's key, without a pass phrase.")
    sip_tls_ca: OptionalPathField = Field(
        default=None, description="PEM file of the authorities that peers we connect to must be certified by; empty: those of this system."
    )
    advertised_host: str = Field(default="", description="Host to put into SIP and SDP where peers reach us under another address (NAT).")
    sip_trust: NetworksField = Field(
        default=(),
        description="Networks that may call without credentials, separated by commas; default 127.0.0.0/8 while sip is a loopback "
        "address. Never lifts a domain's own digest or access list.",
    )
    sip_unlimited: NetworksField = Field(
        default=(),
        description="Networks that are never throttled or dropped however they behave, separated by commas, beside those of sip_trust.",
    )
    sip_stranger_rate: float = Field(
        default=100.0,
        gt=0,
        le=1e6,
        description="Messages a second that are read from an address which has not proved a credential within a day.",
    )
    sip_peer_rate: float = Field(
        default=2000.0, gt=0, le=1e6, description="Messages a second that are read from an address which has proved one, or is on a list."
    )
    sip_block_s: float = Field(
        default=60.0, gt=0, le=3600, description="How long a scanner is first dropped without an answer, seconds; doubled each time."
    )
    sip_realm: Annotated[str, BeforeValidator(_realm)] = Field(
        default="", description="Digest realm; fixed at first start (waitline if not set)."
    )
    sip_digest: Literal["MD5,SHA-256", "SHA-256,MD5", "MD5", "SHA-256"] = Field(
        default="MD5,SHA-256", description="Digest algorithms offered, the first first: many phones read only that one."
    )
    sip_srtp: Literal["off", "offered", "required"] = Field(
        default="offered",
        description="Encrypted media (SRTP with keys in SDP): off, taken where the phone offers it, or required; a SIP domain may say "
        "otherwise. Needs the extra srtp.",
    )
    sip_srtp_without_tls: bool = Field(
        default=False,
        description="Take calls that must be encrypted over UDP and TCP too, where their keys can be read: behind a proxy that ends TLS.",
    )
    sip_info_digits: bool = Field(default=True, description="Take digits that arrive as SIP INFO.")
    sip_max_calls: int = Field(default=10_000, ge=1, description="Calls at one time; more are refused with 503.")
    overload_lag_ms: float = Field(
        default=50.0,
        ge=0,
        description="How late control may run before new calls are refused with 503 so that those which are up do not suffer, "
        "milliseconds; 0: none is.",
    )
    sip_session_s: int = Field(
        default=1800,
        ge=0,
        le=86400,
        description="Session interval proposed to phones that keep session timers (RFC 4028), seconds; at least 90, 0: none is proposed.",
    )
    sip_register_min_s: int = Field(default=60, ge=1, description="Shortest registration, seconds; shorter wishes get 423.")
    sip_register_max_s: int = Field(default=3600, ge=1, description="Longest registration, seconds; longer wishes are shortened.")
    ringing_timeout_s: float = Field(default=60.0, gt=0, description="How long an incoming call may ring unanswered, seconds.")
    audio_start_s: float = Field(default=0.5, ge=0, description="Audio starts at ACK, the first RTP packet, or so many seconds after 200.")

    # RTP
    rtp_host: str = Field(default="", description="Host that RTP sockets are bound to; empty: the host of sip.")
    rtp_ports: PortsField = Field(default=Ports(16384, 32767), description="FIRST-LAST of RTP; one port a leg with rtcp-mux, else two.")
    rtp_latch_any: bool = Field(
        default=False, description="Latch on RTP from any source, not only from the addresses of SDP and signalling."
    )
    media_workers: int = Field(default=0, ge=0, le=256, description="Media processes; 0: usable cores less one, at least one.")
    frame_store_mb: int = Field(default=256, ge=8, le=8192, description="Memory for clips encoded ahead, megabytes, shared by all workers.")
    quiet_limit_s: float = Field(default=20.0, gt=0, description="Silence of a peer's RTP after which it is probed over SIP, seconds.")
    quiet_probe_s: float = Field(default=60.0, gt=0, description="Between two probes of a peer that stays quiet, seconds.")

    # Webhooks
    webhook_allow: NetworksField = Field(
        default=(),
        description="Networks a tenant's URL may name although they are loopback, private or link-local, separated by commas; default "
        "127.0.0.0/8 while http is a loopback address.",
    )
    webhook_connect_s: float = Field(default=5.0, gt=0, le=10, description="One connection attempt, seconds (#ct=).")
    webhook_read_s: float = Field(default=15.0, gt=0, le=60, description="Between two reads, seconds (#rt=).")
    webhook_total_s: float = Field(default=15.0, gt=0, le=60, description="A whole fetch with its retries and redirects, seconds (#tt=).")
    webhook_retries: int = Field(default=1, ge=0, le=5, description="Tries after the first one failed to connect (#rc=).")
    webhook_redirects: int = Field(default=10, ge=0, le=10, description="Redirects that are followed.")
    webhook_body_kb: int = Field(default=64, ge=1, le=1024, description="Largest document, kilobytes.")
    webhook_verify_tls: bool = Field(default=True, description="Check certificates of https webhooks.")
    webhook_connections: int = Field(default=1000, ge=1, description="Connections to tenants' servers at one time.")
    callback_timeout_s: float = Field(default=15.0, gt=0, description="One status callback, seconds.")

    # Audio
    audio_mb: int = Field(default=20, ge=1, le=1024, description="Largest audio file a document may play, megabytes.")
    audio_limit_s: float = Field(default=3600.0, gt=0, description="Longest clip, seconds; the rest is cut.")
    audio_cache_mb: int = Field(default=64, ge=0, description="Fetched audio kept by its caching headers, megabytes.")
    say_limit: int = Field(default=4096, ge=1, description="Longest text of a Say, characters; the rest is cut.")

    # Queues
    whisper_timeout_s: float = Field(
        default=3.0, gt=0, description="How long a whisper document may take before the bridge goes on without it."
    )
    min_fetch_interval_s: float = Field(default=1.0, gt=0, description="Least time between two wait-document fetches of one call, seconds.")
    wait_backoff_max_s: float = Field(
        default=30.0, gt=0, description="Longest pause between two tries of a failing wait application, seconds."
    )
    wait_retry_s: float = Field(
        default=0.0, ge=0, description="How long a failing wait application is retried, seconds; 0: as long as one waits."
    )

    # Each account
    account_calls_per_s: float = Field(default=0.0, ge=0, description="New calls a second of one account, more get 480; 0: no limit.")
    account_calls: int = Field(default=0, ge=0, description="Calls of one account at one time, more get 486; 0: no limit.")
    account_members: int = Field(
        default=0, ge=0, description="Callers that wait in all queues of one account together, more find them full; 0: no limit."
    )
    account_webhooks: int = Field(
        default=500, ge=0, description="Requests to the servers of one account at one time, more wait for their turn; 0: no limit."
    )
    account_requests_per_s: float = Field(
        default=100.0, ge=0, description="REST requests a second of one account, more get 429; ten seconds of it at once; 0: no limit."
    )
    account_records: int = Field(
        default=100_000, ge=0, description="Queues, numbers, credentials and so on that one account may have over REST; 0: no limit."
    )

    audit_days: float = Field(
        default=365.0, ge=0, le=36_500, description="How long the audit log of REST changes is kept, days; 0: for ever."
    )
    audit_entries: int = Field(
        default=100_000, ge=0, description="Entries of the audit log that are kept of each account, the newest; 0: no limit."
    )

    # Operating
    drain_s: float = Field(default=600.0, ge=0, description="How long calls may go on after SIGTERM, seconds.")
    drain_url: Annotated[str, BeforeValidator(_web_url)] = Field(
        default="",
        description="URL of the document that callers run who wait when the platform drains, where their queue names none; empty: they "
        "wait on.",
    )
    standby: bool = Field(
        default=True, description="Keep a second control process waiting, everything loaded, that takes over at once when the first dies."
    )
    max_request_kb: int = Field(default=64, ge=1, description="Largest body of a REST request, kilobytes.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file that ``load_config`` named."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _resolve_defaults(self) -> Config:
        """Fill what follows from other settings. Done past the freeze, before anybody has the object."""
        resolved: dict[str, Any] = {"rtp_host": self.rtp_host or self.sip.host}
        if "webhook_allow" not in self.model_fields_set and self.http.loopback:
            resolved["webhook_allow"] = LOOPBACK
        if "sip_trust" not in self.model_fields_set and self.sip.loopback:
            resolved["sip_trust"] = LOOPBACK
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        return self

    @model_validator(mode="after")
    def _check_together(self) -> Config:
        if self.sip_register_min_s > self.sip_register_max_s:
            raise ValueError("sip_register_min_s is larger than sip_register_max_s")
        if (self.sip_tls_certificate is None) != (self.sip_tls_key is None):
            raise ValueError("sip_tls_certificate and sip_tls_key go together: one of them is missing")
        if self.sip_tls_certificate is not None and self.sip_tls_port is None:
            raise ValueError("sip_tls_certificate is set, but sip_tls_port is not: nobody would see it (5061 is usual)")
        if self.database and urlsplit(self.database).scheme not in ("postgresql", "postgres"):
            raise ValueError("database is not a postgresql:// URL (leave it empty for SQLite in the data folder)")
        return self


def load_config(file: Path | None = None) -> Config:
    """Read the file (``waitline.toml`` here if there is one and ``file`` is None) and the environment. Raises ConfigError."""
    path = _readable(file)

    class FromFile(Config):  # the settings source takes its path from the class
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return FromFile()
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _readable(file: Path | None) -> Path | None:
    if file is None:
        return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None
    if not file.is_file():
        raise ConfigError(f"--config {file}: there is no such file")
    return file


def _explain(error: ValidationError, path: Path | None) -> str:
    """Say in one line per fault which setting, where it was set and what is wrong."""
    return "\n".join(_explain_one(dict(fault), path) for fault in error.errors())


def _explain_one(fault: dict[str, Any], path: Path | None) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return f"settings: {text}"
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return f"{name} in {path}: there is no such setting"
    variable = PREFIX + name.upper()
    where = variable if variable in os.environ else f"{name} in {path} ({variable})" if path else variable
    given = "" if name in ("key", "key_next") or repr(fault["input"]) in text else f" (it is {str(fault['input'])!r})"
    return f"{where}: {text}{given}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the reference."""

    name: str
    variable: str
    default: str
    description: str


def settings_reference() -> list[Setting]:
    """Return every setting, in the order of the class."""
    return [
        Setting(name=name, variable=PREFIX + name.upper(), default=_shown(field.default), description=field.description or "")
        for name, field in Config.model_fields.items()
    ]


def _shown(default: Any) -> str:
    return "" if default == () else str(default)
