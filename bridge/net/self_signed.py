"""The certificate to start with: made by the platform for itself, in the data folder.

It encrypts, and it proves nothing: a phone either does not verify it or is given the file to trust. It is made once and kept, so that what
was trusted stays so, and anew a month before it runs out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from waitline.errors import ConfigError

VALID = timedelta(days=825)  # the longest that common phones take
RENEW_BEFORE = timedelta(days=30)
_CERTIFICATE, _KEY = "sip-tls.crt", "sip-tls.key"


def self_signed(folder: Path, names: Iterable[str], now: datetime) -> tuple[Path, Path]:
    """Return certificate and key in the folder, made for these names and addresses if there is none that is good. Raises ConfigError."""
    certificate, key = folder / _CERTIFICATE, folder / _KEY
    try:
        if not _is_good(certificate, key, now):
            _make(certificate, key, sorted(set(names)), now)
    except OSError as error:
        raise ConfigError(f"WAITLINE_DATA: the certificate for SIP over TLS cannot be made: {error.strerror} ({error.filename})") from error
    return certificate, key


def expires_at(certificate: Path) -> datetime:
    """Return when the first certificate in a PEM file runs out, UTC. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _is_good(certificate: Path, key: Path, now: datetime) -> bool:
    if not certificate.exists() or not key.exists():
        return False
    try:
        return expires_at(certificate) - now > RENEW_BEFORE
    except ValueError:  # no certificate at all: ours was whole when it was written, so somebody wrote over it
        return False


def _make(certificate: Path, key: Path, names: list[str], now: datetime) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Waitline, self-signed")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks of phones
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)  # so that a phone can be told to trust it
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    _write(key, private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain), 0o600)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
