"""``waitline doctor``: what would keep this machine from serving well, said before it does.

Each check is a function that returns findings: ``ok``, ``note`` (works, but worse than it could; what to do is said) or ``fault`` (the
platform would not start, or not do its work). A check looks and leaves nothing behind. To add one, add a function to ``_CHECKS``.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Literal

from waitline.bridge.config import Address, Config, load_config
from waitline.clock import SystemClock
from waitline.errors import ConfigError
from waitline.supervisor import RequestFailed, open_listener

WANTED_BUFFER_BYTES = 4 * 1024 * 1024
WANTED_FILES = 4096
WANTED_FREE_BYTES = 200_000_000
DURABILITY = (
    "SQLite, WAL, synchronous=NORMAL: what is told has been committed and survives the death of every process here;"
    " a power loss may cost what the kernel had not written yet, 30 s at most as Linux is set, and leaves the database whole"
)
HEALTH_TIMEOUT_S = 2.0
WANTED_DAYS = 14


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: how it stands with one subject."""

    verdict: Literal["ok", "note", "fault"]
    subject: str
    text: str


def examine(config_file: Path | None) -> list[Finding]:
    """Run all checks; a setting that cannot be read is the only finding then, since the rest depends on it."""
    try:
        config = load_config(config_file)
    except ConfigError as error:
        return [Finding("fault", "settings", str(error))]
    findings = [Finding("ok", "settings", f"http={config.http} sip={config.sip} data={config.data}")]
    for check in _CHECKS:
        findings.extend(check(config))
    return findings


def _data(config: Config) -> Iterator[Finding]:
    """The data folder can be made, or be written to."""
    folder = config.data.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        yield Finding("fault", "data", f"WAITLINE_DATA: {existing} is not a folder")
    elif not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("fault", "data", f"WAITLINE_DATA: {existing} cannot be read and written by this user")
    else:
        yield Finding("ok", "data", str(folder) if existing == folder else f"{folder} (will be made)")


def _database(config: Config) -> Iterator[Finding]:
    """What durable means here, whether the database is whole, and whether there is room for it to grow."""
    if config.database:
        yield Finding("ok", "durability", "PostgreSQL's: with synchronous_commit=on, what it has committed survives a power loss")
        return
    yield Finding("ok", "durability", DURABILITY)
    file = config.data.absolute() / "waitline.db"
    if file.is_file() and (fault := _damage(file)):
        yield Finding("fault", "database", fault)
    elif file.is_file():
        free = shutil.disk_usage(file.parent).free
        text = f"{file.stat().st_size / 1e6:.1f} MB, whole; {free / 1e6:.0f} MB are free"
        yield Finding("ok" if free >= WANTED_FREE_BYTES else "note", "database", text)


def _damage(file: Path) -> str:
    try:  # not read-only: only who may write takes the files beside the database away again
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=HEALTH_TIMEOUT_S)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    return "" if found == "ok" else f"{file} is damaged ({found}): restore a backup with `waitline restore FILE --force`"


def _ports(config: Config) -> Iterator[Finding]:
    """Each port is free, or it is a running platform that has it."""
    listeners = [("tcp", config.http, "HTTP"), ("udp", config.sip, "SIP"), ("tcp", config.sip, "SIP")]
    if config.sip_tls_port is not None:
        listeners.append(("tcp", Address(config.sip.host, config.sip_tls_port), "SIP_TLS_PORT"))
    for kind, address, setting in listeners:
        try:
            open_listener(kind, address.host, address.port).close()
        except RequestFailed as error:
            if _answers_as_waitline(config.http):
                yield Finding("ok", f"port {kind}", f"{address}: the platform is running")
            else:
                yield Finding("fault", f"port {kind}", f"WAITLINE_{setting}: {error}")
        else:
            yield Finding("ok", f"port {kind}", f"{address} is free")


def _answers_as_waitline(address: Address) -> bool:
    connection = HTTPConnection(address.host, address.port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _tls(config: Config) -> Iterator[Finding]:
    """The certificate and its key can be used, and will be for a while."""
    from waitline.bridge.net.self_signed import expires_at
    from waitline.bridge.net.sip_tls import TlsDoor

    if config.sip_tls_port is None:
        yield Finding("note", "sip over tls", "off: set WAITLINE_SIP_TLS_PORT (5061 is usual)")
    elif config.sip_tls_certificate is None or config.sip_tls_key is None:
        yield Finding("note", "sip over tls", "a self-signed certificate: phones that verify it must be given the file; see the README")
    else:
        try:
            TlsDoor(config.sip_tls_certificate, config.sip_tls_key, authorities=config.sip_tls_ca)
            left = expires_at(config.sip_tls_certificate) - SystemClock().utc()
        except (ConfigError, ValueError) as error:
            yield Finding("fault", "sip over tls", str(error))
            return
        if left.days < WANTED_DAYS:
            yield Finding("note", "sip over tls", f"the certificate runs out in {left.days} days; then `waitline reload`")
        else:
            yield Finding("ok", "sip over tls", f"{config.sip_tls_certificate} is good for {left.days} days")


def _encryption(config: Config) -> Iterator[Finding]:
    """Media can be encrypted, where it may or must be."""
    from waitline.media import srtp

    if config.sip_srtp == "off":
        yield Finding("ok", "encryption", "off for numbers and domains that do not say otherwise (WAITLINE_SIP_SRTP)")
    elif srtp.available():
        yield Finding("ok", "encryption", f"SRTP is {config.sip_srtp}")
    elif config.sip_srtp == "required":
        yield Finding("fault", "encryption", "WAITLINE_SIP_SRTP: SRTP is required, and the extra is missing: pip install 'waitline[srtp]'")
    else:
        yield Finding("note", "encryption", "calls are in the clear: for SRTP pip install 'waitline[srtp]'")


def _limits(_: Config) -> Iterator[Finding]:
    """Open files (a call takes one or two) and the kernel's bound on receive buffers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < WANTED_FILES:
        yield Finding("note", "open files", f"{hard} at most: about {hard // 3} calls; raise `ulimit -n` to {WANTED_FILES} or more")
    else:
        yield Finding("ok", "open files", f"{soft} of {hard}")
    largest = int(Path("/proc/sys/net/core/rmem_max").read_text())
    if largest < WANTED_BUFFER_BYTES and os.geteuid() != 0:  # root may exceed it
        yield Finding(
            "note", "udp buffer", f"{largest} bytes: bursts of SIP may be lost; sysctl -w net.core.rmem_max={WANTED_BUFFER_BYTES}"
        )
    else:
        yield Finding("ok", "udp buffer", f"up to {max(largest, WANTED_BUFFER_BYTES)} bytes")


def _speech(_: Config) -> Iterator[Finding]:
    """The engine says a word."""
    from waitline.media.speech import available

    speech = available()
    spoken = speech.synthesise("hello", "alice", "en-US")
    if spoken.warning is not None:
        yield Finding("fault", "speech", spoken.warning.message)
    else:
        yield Finding("ok", "speech", f"{len(spoken.pcm) / spoken.rate:.1f} s for one word; languages: {', '.join(speech.languages())}")


def _kernel_filter(_: Config) -> Iterator[Finding]:
    """The kernel drops the packets of held legs that nobody needs."""
    from waitline.media import filter as kernel_filter

    if kernel_filter.works():
        yield Finding("ok", "kernel filter", "held callers' audio is dropped by the kernel")
    else:
        yield Finding("note", "kernel filter", "not available here: every packet of a held caller is read, which costs processor time")


_CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _data, _database, _ports, _tls, _encryption, _limits, _kernel_filter, _speech,
)  # fmt: skip
