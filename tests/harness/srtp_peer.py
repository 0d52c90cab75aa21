"""The other end of an encrypted leg, written from RFC 3711 and RFC 7714 on AES and HMAC alone: nothing of libsrtp is in it."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

KEY_BYTES = {"AES_CM_128_HMAC_SHA1_80": 16, "AES_CM_128_HMAC_SHA1_32": 16, "AEAD_AES_128_GCM": 16, "AEAD_AES_256_GCM": 32}
SALT_BYTES = {"AES_CM_128_HMAC_SHA1_80": 14, "AES_CM_128_HMAC_SHA1_32": 14, "AEAD_AES_128_GCM": 12, "AEAD_AES_256_GCM": 12}
E_FLAG = 1 << 31


class Refused(Exception):
    """A packet that is not authentic."""


def keystream(key: bytes, iv: int, length: int) -> bytes:
    """AES in counter mode (RFC 3711 §4.1.1)."""
    encryptor = Cipher(AES(key), CTR(iv.to_bytes(16, "big"))).encryptor()
    return encryptor.update(bytes(length))


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """A session key (RFC 3711 §4.3.1); a salt of 96 bits is filled up with zeros (RFC 7714 §11)."""
    salt = int.from_bytes(master_salt.ljust(14, b"\0"), "big")
    return keystream(master_key, (salt ^ label << 48) << 16, length)


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class Direction:
    """One key: what is sealed with it, and opened."""

    def __init__(self, suite: str, key: bytes) -> None:
        master, salt = key[: KEY_BYTES[suite]], key[KEY_BYTES[suite] :]
        assert len(salt) == SALT_BYTES[suite]
        self._is_gcm = suite.startswith("AEAD")
        self._tag = 4 if suite.endswith("_32") else 10
        names = (("rtp", 0), ("rtcp", 3))
        self._keys = {name: derive(master, salt, label, len(master)) for name, label in names}
        self._auth = {name: derive(master, salt, label + 1, 20) for name, label in names}
        self._salts = {name: derive(master, salt, label + 2, len(salt)) for name, label in names}
        self.index: int | None = None
        self.reports = 0

    # --- RTP

    def seal(self, packet: bytes, roc: int) -> bytes:
        index, header, payload = roc << 16 | _sequence(packet), packet[:12], packet[12:]
        if self._is_gcm:
            return header + AESGCM(self._keys["rtp"]).encrypt(self._gcm_iv("rtp", packet[8:12], index), payload, header)
        sealed = header + xor(payload, self._cm("rtp", packet[8:12], index, len(payload)))
        return sealed + self._mac("rtp", sealed + struct.pack("!I", roc), self._tag)

    def open(self, packet: bytes) -> bytes:
        """Follow the sender's roll-overs (RFC 3711 §3.3.1); Refused where the packet is not authentic."""
        index = self._estimate(_sequence(packet))
        header, ssrc = packet[:12], packet[8:12]
        if self._is_gcm:
            try:
                payload = AESGCM(self._keys["rtp"]).decrypt(self._gcm_iv("rtp", ssrc, index), packet[12:], header)
            except InvalidTag as error:
                raise Refused from error
        else:
            sealed, tag = packet[: -self._tag], packet[-self._tag :]
            if tag != self._mac("rtp", sealed + struct.pack("!I", index >> 16), self._tag):
                raise Refused
            payload = xor(sealed[12:], self._cm("rtp", ssrc, index, len(sealed) - 12))
        self.index = max(index, self.index or 0)
        return header + payload

    def _estimate(self, sequence: int) -> int:
        if self.index is None:
            return sequence
        ahead = (sequence - self.index) & 0xFFFF
        return self.index + ahead - (0x10000 if ahead >= 0x8000 else 0)

    # --- RTCP

    def seal_report(self, packet: bytes) -> bytes:
        self.reports += 1
        word, ssrc = struct.pack("!I", E_FLAG | self.reports), packet[4:8]
        if self._is_gcm:
            iv = self._gcm_iv("rtcp", ssrc, self.reports)
            return packet[:8] + AESGCM(self._keys["rtcp"]).encrypt(iv, packet[8:], packet[:8] + word) + word
        sealed = packet[:8] + xor(packet[8:], self._cm("rtcp", ssrc, self.reports, len(packet) - 8)) + word
        return sealed + self._mac("rtcp", sealed, 10)

    def open_report(self, packet: bytes) -> bytes:
        if self._is_gcm:
            sealed, word = packet[:-4], packet[-4:]
            self.reports = int.from_bytes(word, "big") & ~E_FLAG
            iv = self._gcm_iv("rtcp", packet[4:8], self.reports)
            try:
                return packet[:8] + AESGCM(self._keys["rtcp"]).decrypt(iv, sealed[8:], packet[:8] + word)
            except InvalidTag as error:
                raise Refused from error
        sealed, word, tag = packet[:-14], packet[-14:-10], packet[-10:]
        if tag != self._mac("rtcp", sealed + word, 10):
            raise Refused
        self.reports = int.from_bytes(word, "big") & ~E_FLAG
        return packet[:8] + xor(sealed[8:], self._cm("rtcp", packet[4:8], self.reports, len(sealed) - 8))

    # --- the transforms

    def _cm(self, kind: str, ssrc: bytes, index: int, length: int) -> bytes:
        salt = int.from_bytes(self._salts[kind], "big")
        return keystream(self._keys[kind], salt << 16 ^ int.from_bytes(ssrc, "big") << 64 ^ index << 16, length)

    def _mac(self, kind: str, data: bytes, length: int) -> bytes:
        return hmac.digest(self._auth[kind], data, hashlib.sha1)[:length]

    def _gcm_iv(self, kind: str, ssrc: bytes, index: int) -> bytes:
        """RFC 7714 §8.1 and §9.1: the same place for both, as an index of RTCP has 31 bits."""
        return xor(self._salts[kind], b"\0\0" + ssrc + index.to_bytes(6, "big"))


def _sequence(packet: bytes) -> int:
    return packet[2] << 8 | packet[3]
