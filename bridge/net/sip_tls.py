"""TLS for SIP (RFC 3261 §26.3): the octets of a connection in and out of their encryption, without a socket, and whose certificate we show.

``TlsStream`` is what a ``TcpConnection`` passes its octets through; framing, limits and keep-alives are those of TCP. ``TlsDoor`` makes
one for each connection, from a certificate that may be exchanged while calls are up: what is open keeps its own, and a new one that cannot
be used changes nothing.

At least TLS 1.2, with the ciphers that OpenSSL calls its default. Peers who connect to us show no certificate, for phones have none: whom
we believe is decided by digest and access lists. Where we connect, the peer must show one that names the address we connect to, issued by
the authorities of ``sip_tls_ca`` or of this system; for the other end might be anybody, and session descriptions hold keys.

A connection does not outlive its process, since the keys of its session are in it: the peer's next one takes its dialogs over.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from waitline.errors import ConfigError

READ_BYTES = 65_536


class TlsStream:
    """One end of a TLS connection. Whatever goes wrong in it is an OSError: the connection is to be closed."""

    def __init__(self, context: ssl.SSLContext, *, server_hostname: str | None = None) -> None:
        """``server_hostname``: whom the peer must prove to be; None for a peer that connected to us."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        server_side = server_hostname is None
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname)
        self.unsent = bytearray()
        """What waits for the end of the handshake"""
        self.established = False
        self.ended = False
        """The peer has said that it says no more."""

    def begin(self) -> None:
        """Speak first, where we connected."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Return what the peer said, b"" where that is nothing yet; also moves the handshake on."""
        self._incoming.write(data)
        if not self.established:
            self._shake_hands()
        received = bytearray()
        while self.established:
            try:
                part = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            if not part:
                self.ended = True
                break
            received += part
        return bytes(received)

    def send(self, data: bytes) -> None:
        """Encrypt; before the end of the handshake, keep."""
        if self.established:
            self._tls.write(data)
        else:
            self.unsent += data

    def outgoing(self) -> bytes:
        """Return what is to be put on the wire now."""
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """Return the last octets: without them the peer cannot tell an end from an attack (RFC 8446 §6.1)."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # it waits for the peer's goodbye, or there never was a session
            pass
        return self.outgoing()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True
        waiting, self.unsent = self.unsent, bytearray()
        if waiting:
            self._tls.write(waiting)


class TlsDoor:
    """Makes the TLS of new connections. Raises ConfigError where the certificate cannot be used."""

    def __init__(self, certificate: Path, key: Path, *, authorities: Path | None = None) -> None:
        self._certificate, self._key, self._authorities = certificate, key, authorities
        self._server = self._serving()
        self._client = self._connecting()

    def reload(self) -> None:
        """Read certificate, key and authorities again; ConfigError, and all is as it was, where one of them cannot be used."""
        server, client = self._serving(), self._connecting()
        self._server, self._client = server, client

    def accept(self) -> TlsStream:
        """The TLS of a connection that was made to us."""
        return TlsStream(self._server)

    def connect(self, host: str) -> TlsStream:
        """The TLS of a connection that we make to a host."""
        return TlsStream(self._client, server_hostname=host)

    def _serving(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise ConfigError(f"WAITLINE_SIP_TLS_CERTIFICATE, WAITLINE_SIP_TLS_KEY: {_why(error, self._certificate, self._key)}") from error
        return context

    def _connecting(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self._authorities) if self._authorities else None)
        except OSError as error:
            raise ConfigError(f"WAITLINE_SIP_TLS_CA: {_why(error, self._authorities or Path())}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _no_password() -> str:
    """Without this, OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted with a pass phrase; give one that is not, readable by this user alone")


def _why(error: Exception, *paths: Path) -> str:
    """Say which file cannot be read, else what OpenSSL makes of them."""
    for path in paths:
        try:
            path.read_bytes()
        except OSError as unreadable:
            return f"{path}: {unreadable.strerror}"
    names = " and ".join(str(path) for path in paths)
    if isinstance(error, ssl.SSLError):
        reason = {"KEY_VALUES_MISMATCH": "the key is not the certificate's"}.get(error.reason or "", "")
        return f"{names}: {reason or 'not usable as PEM'} ({error.reason or error})"
    return f"{names}: {error}"
