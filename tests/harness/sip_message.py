"""SIP as the tests' own phone reads and writes it: written from the RFC apart from the product, and only as much as a phone needs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type", "k": "supported"}


@dataclass
class Message:
    """A request (``method``) or a response (``status``); ``headers`` are (lower-case name, value) in order."""

    start: str
    headers: list[tuple[str, str]]
    body: str = ""
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Message:
        head, _, body = data.partition(b"\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head.decode()).split("\r\n")
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers.append((COMPACT.get(name, name), value.strip()))
        return cls(lines[0], headers, body.decode(), data)

    @property
    def status(self) -> int:
        """The status code; 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """A request's method; for a response that of its CSeq."""
        return self.start.split()[0] if not self.status else self["cseq"].split()[1]

    @property
    def cseq(self) -> int:
        return int(self["cseq"].split()[0])

    def __getitem__(self, name: str) -> str:
        """Return the first header of that name, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return all headers of that name, lists split at their commas."""
        values = [value for key, value in self.headers if key == name]
        return [item.strip() for value in values for item in re.findall(r'(?:"[^"]*"|<[^>]*>|[^,"<])+', value)]

    def tag(self, name: str) -> str:
        """Return the tag of From or To."""
        found = re.search(r";\s*tag=([^;>\s]+)", self[name].rpartition(">")[2] or self[name], re.IGNORECASE)
        return found[1] if found else ""

    @property
    def contact_uri(self) -> str:
        found = re.search(r"<([^>]*)>", self["contact"])
        return found[1] if found else self["contact"].split(";")[0]

    def sdp(self, line: str) -> list[str]:
        """Return the values of the lines ``line=…`` of the body, such as ``sdp("a")``."""
        return [text[2:] for text in self.body.splitlines() if text.startswith(f"{line}=")]

    @property
    def rtp(self) -> tuple[str, int]:
        """Return where the body's audio is to be sent."""
        port = next(int(value.split()[1]) for value in self.sdp("m") if value.startswith("audio "))
        return self.sdp("c")[-1].split()[2], port

    @property
    def direction(self) -> str:
        """Return the direction of the body's audio."""
        return next((value for value in reversed(self.sdp("a")) if value in ("sendrecv", "sendonly", "recvonly", "inactive")), "sendrecv")


def build(start: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """Return the bytes of a message; Content-Length (and Content-Type for a body of SDP) are added."""
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    if body and not any(name.lower() == "content-type" for name, _ in headers):
        lines.append("Content-Type: application/sdp")
    lines += [f"Content-Length: {len(body.encode())}", "", body]
    return "\r\n".join(lines).encode()


def sdp(
    host: str, port: int, *, codecs: str = "0 8", direction: str = "sendrecv", version: int = 1, extra: str = "", profile: str = "RTP/AVP"
) -> str:
    """Return a session description with G.711 and telephone-event 101; ``codecs`` are payload types in the order preferred."""
    names = {"0": "PCMU", "8": "PCMA"}
    maps = "".join(f"a=rtpmap:{number} {names[number]}/8000\r\n" for number in codecs.split() if number in names)
    return (
        f"v=0\r\no=- 1000 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} {profile} {codecs} 101\r\n{maps}a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
        f"a=ptime:20\r\na={direction}\r\n{extra}"
    )


def challenge(value: str) -> dict[str, str]:
    """Return the parameters of a WWW-Authenticate value, names in lower case."""
    pairs = re.findall(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))', value.partition(" ")[2])
    return {name.lower(): quoted or plain for name, quoted, plain in pairs}


def authorization(
    given: dict[str, str], *, method: str, uri: str, username: str, password: str, cnonce: str, nc: int, qop: bool = True
) -> str:
    """Return the Authorization value that answers a challenge: MD5 or SHA-256, with qop if offered and wanted."""
    algorithm = given.get("algorithm", "MD5")
    digest = hashlib.sha256 if algorithm.upper().startswith("SHA-256") else hashlib.md5

    def h(text: str) -> str:
        return digest(text.encode()).hexdigest()

    secret, what = h(f"{username}:{given['realm']}:{password}"), h(f"{method}:{uri}")
    parts = [f'username="{username}"', f'realm="{given["realm"]}"', f'nonce="{given["nonce"]}"', f'uri="{uri}"', f"algorithm={algorithm}"]
    if qop and "auth" in given.get("qop", "").split(","):
        response = h(f"{secret}:{given['nonce']}:{nc:08x}:{cnonce}:auth:{what}")
        parts += ["qop=auth", f"nc={nc:08x}", f'cnonce="{cnonce}"']
    else:
        response = h(f"{secret}:{given['nonce']}:{what}")
    if "opaque" in given:
        parts.append(f'opaque="{given["opaque"]}"')
    return "Digest " + ", ".join([*parts, f'response="{response}"'])
