"""Messages that hurt, written from the text of RFC 4475 and RFC 5118: for machines without the published octets, and for sending over the
wire, where what counts is that the next request is answered.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator


def message(start: str, *changes: str, body: bytes = b"", end: str = "\r\n\r\n") -> bytes:
    """A sound request; each change replaces the field of its name, removes it (``Name:!``), or is added where there is none."""
    method, mark = start.split(" ")[0], zlib.crc32(repr((start, changes, body)).encode())
    fields = {
        "Via": f"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{mark:x}",
        "To": "To: <sip:user@example.com>",
        "From": "From: <sip:caller@example.net>;tag=3",
        "Call-ID": f"Call-ID: {mark:x}@192.0.2.1",
        "CSeq": f"CSeq: 8 {method}",
        "Max-Forwards": "Max-Forwards: 70",
        "Content-Length": f"Content-Length: {len(body)}",
    }
    for change in changes:
        name = change.partition(":")[0].strip()
        fields[name] = "" if change.endswith(":!") else change
    return ("\r\n".join([start, *filter(None, fields.values())]) + end).encode() + body


O, I, R = "OPTIONS sip:user@example.com SIP/2.0", "INVITE sip:user@example.com SIP/2.0", "REGISTER sip:example.com SIP/2.0"
SDP = b"v=0\r\no=m 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0\r\n"

VECTORS: dict[str, bytes] = {
    "3.1.1.1 blanks and folds": message(O, "TO : sip:user@example.com\r\n  ;\r\n  tag  = 1", "To:!", "CSeq: 0009\r\n  OPTIONS"),
    "3.1.1.2 strange methods": message("!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't@h SIP/2.0"),
    "3.1.1.4 escaped nulls": message("REGISTER sip:example.com SIP/2.0", "To: sip:null-%00-null@example.com", "Contact: <sip:%00@h>"),
    "3.1.1.7 long values": message(O, f"To: <sip:user@example.com;{'long' * 400}=1>", *(f"X{n}: {'v' * 500}" for n in range(20))),
    "3.1.1.8 octets after the body": message(O, "Content-Length: 0", body=b"\r\n" + message(I)),
    "3.1.1.10 unknown transports": message(O, "Via: SIP/2.0/UNKNOWN t4;branch=z9hG4bK4, SIP/2.0/SCTP t5"),
    "3.1.1.11 a body of all octets": message(I, "Content-Type: multipart/mixed;boundary=7a9c", body=bytes(range(256))),
    "3.1.2.1 semicolons and commas": message(I, "Via: SIP/2.0/UDP 192.0.2.15;;,;,,", "Contact: \"Joe\" <sip:joe@example.org>;;;;"),
    "3.1.2.2 a longer length than body": message(I, "Content-Length: 9999", "Content-Type: application/sdp", body=SDP),
    "3.1.2.3 a negative length": message(I, "Content-Length: -999", body=SDP),
    "3.1.2.4 numbers too large": message("REGISTER sip:example.com SIP/2.0", "CSeq: 36893488147419103232 REGISTER", "Max-Forwards: 300"),
    "3.1.2.5 numbers too large in a response": message(
        "SIP/2.0 503 Service Unavailable", "CSeq: 9292394834772304023312 OPTIONS", "Retry-After: 949302838503028349304023988"
    ),
    "3.1.2.6 quotes that do not end": message(I, 'To: "Mr. J. User <sip:j.user@example.com>'),
    "3.1.2.7 brackets around the target": message("INVITE <sip:user@example.com> SIP/2.0"),
    "3.1.2.8 blanks in the target": message("INVITE sip:user@example.com; lr SIP/2.0"),
    "3.1.2.9 more blanks in the start line": message("INVITE  sip:user@example.com  SIP/2.0"),
    "3.1.2.10 a blank at its end": message(O + "  "),
    "3.1.2.11 header fields in the target": message("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
    "3.1.2.12 a date of no zone": message(I, "Date: Fri, 01 Jan 2010 16:00:00 EST"),
    "3.1.2.13 a contact without brackets": message("REGISTER sip:example.com SIP/2.0", "Contact: sip:user@example.com?Route=%3Csip:a%3E"),
    "3.1.2.16 another version": message("OPTIONS sip:t1@example.com SIP/7.0"),
    "3.1.2.17 two methods": message(O, "CSeq: 8 INVITE"),
    "3.1.2.18 an unknown method with another": message("NEWMETHOD sip:user@example.com SIP/2.0", "CSeq: 8 INVITE"),
    "3.1.2.19 a status of four digits": message("SIP/2.0 4294967301 better not break the receiver", "CSeq: 8 INVITE"),
    "3.2.1 a branch of the cookie alone": message(O, "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"),
    "3.3.1 next to nothing": I.encode() + b"\r\nCSeq: 193942 INVITE\r\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKi\r\n\r\n",
    "3.3.2 a scheme nobody knows": message("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
    "3.3.5 extensions nobody knows": message(O, "Require: nothingSupportsThis, nothingSupportsThisEither"),
    "3.3.6 a body nobody knows": message(I, "Content-Type: application/unknownformat", body=b"<audio/>"),
    "3.3.7 a scheme of credentials nobody knows": message(R, "Authorization: NoOneKnowsThisScheme opaque=1"),
    "3.3.8 everything twice": message(O, "Max-Forwards: 70\r\nMax-Forwards: 5\r\nCall-ID: 2\r\nFrom: <sip:x@y>;tag=1", "CSeq: 8 OPTIONS"),
    "3.3.9 two lengths": message(I, "Content-Length: 5\r\nContent-Length: 138", body=SDP),
    "3.3.10 a response of many vias": message("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1", "CSeq: 8 OPTIONS"),
    "3.3.11 no more hops": message(O, "Max-Forwards: 0"),
    "3.3.14 a contact of too many characters": message(R, "Contact: <sip:user@example.com?" + "a" * 2000 + ">"),
    "3.4.1 as in RFC 2543": message(I, "Via: SIP/2.0/UDP 192.0.2.2", "Max-Forwards:!", "From: <sip:caller@example.net>", body=SDP),
    "5118 4.2 an address without brackets": message("OPTIONS sip:2001:db8::10 SIP/2.0"),
    "5118 4.5 received in brackets": message(O, "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111"),
    "5118 4.10 three colons": message("OPTIONS sip:user@example.com SIP/2.0", "Via: SIP/2.0/UDP [2001:db8:::192.0.2.1];branch=z9hG4bK1"),
    "no start line": b"\r\n\r\n\r\nhello there\r\n\r\n",
    "no end": message(O, end="\r\n"),
    "a carriage return alone": message(O, "Subject: a\rb"),
    "nothing but folds": b"OPTIONS sip:a@b SIP/2.0\r\n" + b" \r\n" * 2000 + b"\r\n",
    "a thousand fields": message(O, *(f"X{n}: 1" for n in range(1000))),
    "sixty kilobytes of one field": message(O, "X: " + "y" * 60_000),
    "all octets": bytes(range(256)) * 4,
}  # fmt: skip


def cut(data: bytes) -> Iterator[bytes]:
    """A message in pieces, as a slow network brings it."""
    for at in range(0, len(data), max(1, len(data) // 7)):
        yield data[at : at + max(1, len(data) // 7)]
