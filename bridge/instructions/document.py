"""From the body of a tenant's answer to a ``Document``: a tuple of verbs, and what the tenant should be told about them.

The content type decides (platform contract 3.1): XML is parsed; ``text/plain`` is parsed, and spoken if it is no XML; ``audio/*`` is a
document of one Play whose audio is the body itself (``audio_body``); anything else is refused.

The body comes from somebody else, so the parser resolves no entity, loads no DTD, touches no network, and the document is bounded in
size, depth, attributes and verbs. Any DOCTYPE is refused, before the parser sees it: nothing in this language needs one. Strictness that
tenants rely on is kept: white space before an XML declaration is an error, a wrong root is an error, names are case-sensitive.
Everything smaller, an unknown verb or a bad attribute, is a finding, and the document runs without it.

Errors are DocumentError: 11750 too large, 11770 empty, 12100 not well-formed or a DOCTYPE, 12102 wrong root, 12300 content type.
An empty ``<Response/>`` is a valid document of no verbs.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any, Self

from lxml import etree

from waitline.bridge.instructions.elements import Finding, Reader, line_of
from waitline.bridge.instructions.verbs import UNAVAILABLE, VERBS, Play, Say, Verb, from_plain, to_plain
from waitline.errors import DocumentError

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 16
MAX_ATTRIBUTES = 64
MAX_VERBS = 1000

TOO_LARGE = 11750
EMPTY = 11770
NOT_XML = 12100
WRONG_ROOT = 12102
CONTENT_TYPE = 12300

_BLANKS = re.compile(rb"[ \t\r\n]*+")
_XML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a tenant asked for: verbs in order, with absolute URLs."""

    verbs: tuple[Verb, ...] = ()
    warnings: tuple[Finding, ...] = ()
    """What to notify the tenant of, faults included"""
    url: str = ""
    """Where it came from; "" for one given inline"""
    dropped: tuple[str, ...] = ()
    """Verbs that stood in it and are left out, as unknown or not available"""
    audio_body: bytes | None = None
    """The audio of its one Play, if the answer was audio"""
    audio_type: str = ""

    def to_plain(self) -> dict[str, Any]:
        """What JSON can hold. Findings stay behind: they were told when the document came."""
        return {
            "verbs": [to_plain(verb) for verb in self.verbs],
            "url": self.url,
            "dropped": list(self.dropped),
            "audio_body": None if self.audio_body is None else base64.b64encode(self.audio_body).decode(),
            "audio_type": self.audio_type,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        audio = plain.get("audio_body")
        return cls(
            verbs=tuple(from_plain(verb) for verb in plain["verbs"]),
            url=plain["url"],
            dropped=tuple(plain.get("dropped", ())),
            audio_body=None if audio is None else base64.b64decode(audio),
            audio_type=plain.get("audio_type", ""),
        )


def parse(body: bytes, content_type: str, *, url: str) -> Document:
    """The document in an answer's body; ``url`` is where it came from ("" for inline XML). Raises DocumentError."""
    kind, charset = _media_type(content_type)
    if not body:
        raise DocumentError("the answer has an empty body", code=EMPTY)
    if kind.startswith("audio/"):
        return Document(verbs=(Play(url=url, audio_key=_name_of(body, kind)),), url=url, audio_body=body, audio_type=kind)
    if len(body) > MAX_BODY_BYTES:
        raise DocumentError(f"the document has {len(body)} bytes, {MAX_BODY_BYTES} are allowed", code=TOO_LARGE)
    if kind in _XML_TYPES:
        return _parse_xml(body, charset, url)
    if kind == "text/plain":
        return _parse_plain(body, charset, url)
    raise DocumentError(f"cannot use content of type {content_type[:200]!r}", code=CONTENT_TYPE)


@lru_cache(maxsize=256)
def _media_type(content_type: str) -> tuple[str, str]:
    """(type/subtype in lower case, charset or ""). The standard library's reader knows quoting and RFC 2231."""
    header = Message()
    header["Content-Type"] = " ".join(content_type.split())
    charset = header.get_param("charset", "")
    kind = content_type.partition(";")[0].strip().lower()
    return kind, charset.strip() if isinstance(charset, str) else ""


def _parse_plain(body: bytes, charset: str, url: str) -> Document:
    try:
        return _parse_xml(body, charset, url)
    except DocumentError as error:
        if error.code != NOT_XML:
            raise
    words = " ".join(_as_utf_8(body, charset).decode().split())
    return Document(verbs=(Say(text=words, line=1),) if words else (), url=url)


def _name_of(audio: bytes, kind: str) -> str:
    """A name for audio by its content: the same URL may answer with something else the next time."""
    return f"answer {hashlib.blake2b(audio, digest_size=16, person=kind.encode()[:16]).hexdigest()}"


def _parse_xml(body: bytes, charset: str, url: str) -> Document:
    root = _tree(body, charset)
    if root.tag != "Response":
        raise DocumentError(f"the root element is <{str(root.tag)[:64]}>, not <Response>", code=WRONG_ROOT, line=line_of(root))
    _check_bounds(root)
    return _read(root, url)


def _tree(body: bytes, charset: str) -> etree._Element:
    data, encoding = _encoded(body, charset)
    if line := _doctype_line(data):
        raise DocumentError("a document type declaration is not allowed", code=NOT_XML, line=line)
    try:
        root = etree.fromstring(data, _parser(encoding))
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise DocumentError(f"not well-formed: {error}", code=NOT_XML, line=getattr(error, "lineno", 0) or 0) from error
    # A declaration that the scan above could not see, in an encoding that is no superset of ASCII.
    if getattr(root.getroottree().docinfo, "doctype", ""):
        raise DocumentError("a document type declaration is not allowed", code=NOT_XML, line=1)
    return root


def _parser(encoding: str | None) -> etree.XMLParser:
    """A new one each time: a parser remembers its last error, and is not for two threads."""
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _encoded(body: bytes, charset: str) -> tuple[bytes, str | None]:
    """The body, and the encoding to impose on it (None: what it says itself).

    A byte order mark or a declaration wins over the header's charset: web frameworks put a default charset on text/html that has
    nothing to do with the XML a tenant hands them.
    """
    if body.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):
        return body.decode("utf-16", errors="replace").encode(), "utf-8"
    declares = body.startswith(codecs.BOM_UTF8) or (body.startswith(b"<?xml") and b"encoding" in body[:200].partition(b"?>")[0])
    return (body, None) if declares or not charset else (_as_utf_8(body, charset), "utf-8")


def _as_utf_8(body: bytes, charset: str) -> bytes:
    """Re-encoded; what is no text is replaced, halves of characters too, which UTF-7 lets through."""
    return body.decode(_known_codec(charset), errors="replace").encode("utf-8", errors="replace")


def _known_codec(charset: str) -> str:
    """A text codec by this name, else UTF-8. Python's "codecs" that are no character sets (rot13, zip) are not for tenants to name."""
    try:
        found = codecs.lookup(charset or "utf-8")
    except (LookupError, ValueError):
        return "utf-8"
    return found.name if getattr(found, "_is_text_encoding", True) and found.name not in ("idna", "punycode", "undefined") else "utf-8"


def _doctype_line(data: bytes) -> int:
    """Line of a DOCTYPE before the root element, or 0. Steps over what may come before it, once, so it takes linear time."""
    at = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    while True:
        at = _after_blanks(data, at)
        if data.startswith(b"<!DOCTYPE", at):
            return data.count(b"\n", 0, at) + 1
        end = {b"<?": b"?>", b"<!": b"-->"}.get(data[at : at + 2])
        if end is None or (found := data.find(end, at)) < 0:
            return 0
        at = found + len(end)


def _after_blanks(data: bytes, at: int) -> int:
    found = _BLANKS.match(data, at)
    return found.end() if found else at


def _check_bounds(root: etree._Element) -> None:
    """Depth and attributes, without recursion: the depth is the tenant's to choose."""
    level = [root]
    for _ in range(MAX_DEPTH):
        crowded = next((element for element in level if len(element.attrib) > MAX_ATTRIBUTES), None)
        if crowded is not None:
            raise DocumentError(f"an element has more than {MAX_ATTRIBUTES} attributes", code=NOT_XML, line=line_of(crowded))
        level = [child for element in level for child in element]
    if level:
        raise DocumentError(f"elements are nested more than {MAX_DEPTH} deep", code=NOT_XML, line=line_of(level[0]))


def _read(root: etree._Element, url: str) -> Document:
    reader = Reader(url)
    if len(root) > MAX_VERBS:
        raise DocumentError(f"the document has {len(root)} verbs, {MAX_VERBS} are allowed", code=NOT_XML, line=line_of(root))
    reader.check_root(root)
    verbs = tuple(verb for element in root if (verb := _verb(reader, element)) is not None)
    return Document(verbs=verbs, warnings=tuple(reader.findings), url=url, dropped=tuple(reader.dropped))


def _verb(reader: Reader, element: etree._Element) -> Verb | None:
    name = str(element.tag)
    if name in VERBS:
        return reader.verb(element, VERBS[name])
    if name in UNAVAILABLE:
        reader.drop(element, f"the verb <{name}> is not available yet")
    else:
        reader.drop(element, f"there is no verb <{name[:64]}>")
    return None
