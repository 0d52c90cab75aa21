"""How long the message layer takes for one INVITE: ``PYTHONPATH=tests python -m bench.sip_parse``.

The INVITE is a carrier's, of 1.6 kB, with two Vias, a Record-Route and a Contact with an instance. "touched" adds what a user agent reads
of every INVITE before it does anything; "validated" does the same by way of the checks that every request passes. Best of 9 rounds.
"""

from timeit import repeat

from bench.figures import Figure, tell

from waitline.bridge.sip.message import Request, parse
from waitline.bridge.sip.sdp import LocalMedia, SessionDescription, answer
from waitline.bridge.sip.validate import validate_request

ROUNDS, CALLS = 9, 3000
GOAL_US = 20.0

BODY = "\r\n".join(
    [
        "v=0",
        "o=- 3928471623 3928471623 IN IP4 198.51.100.7",
        "s=Example",
        "c=IN IP4 198.51.100.7",
        "t=0 0",
        "m=audio 40012 RTP/AVP 0 8 9 18 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:18 G729/8000",
        "a=fmtp:18 annexb=no",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=maxptime:150",
        "a=sendrecv",
        "",
    ]
)
INVITE = "\r\n".join(
    [
        "INVITE sip:+15550100@192.0.2.10:5060;transport=udp SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa7f2.5c3a8d1e.0",
        "Via: SIP/2.0/UDP 198.51.100.7:5061;rport=5061;received=198.51.100.7;branch=z9hG4bK-524287-1---f1b9c0de7aee6c3b",
        "Record-Route: <sip:192.0.2.1;lr;ftag=8c61b35a;did=a3b.5f1>",
        "Max-Forwards: 69",
        'From: "Alice Example" <sip:+15550199@carrier.example.com;user=phone>;tag=8c61b35a',
        "To: <sip:+15550100@192.0.2.10;user=phone>",
        "Call-ID: 84842ZDk1Njk2YzY4NWMwYzY4ODY5NzJlNTQ5NzM4ZTdhYjE@198.51.100.7",
        "CSeq: 102 INVITE",
        'Contact: <sip:+15550199@198.51.100.7:5061;transport=udp;ob>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-0004f2f6a123>"',
        "Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, OPTIONS, INFO, SUBSCRIBE, UPDATE, PRACK, MESSAGE",
        "Supported: replaces, norefersub, extended-refer, timer, outbound, path, X-cisco-serviceuri",
        "Session-Expires: 1800",
        "Min-SE: 90",
        "User-Agent: Example-SBC/7.4.1 (build 20240611-1a2b3c4d)",
        'P-Asserted-Identity: "Alice Example" <sip:+15550199@carrier.example.com>',
        "X-Carrier-Trace: 7c9e6679-7425-40de-944b-e07fc1f90ae7; hop=3; cluster=eu-central-1b; sampled=0; note=" + "x" * 120,
        "Content-Type: application/sdp",
        f"Content-Length: {len(BODY)}",
        "",
        BODY,
    ]
).encode()
LOCAL = LocalMedia(host="192.0.2.10", port=20000, rtcp_port=20001)


def read() -> Request:
    message = parse(INVITE)
    assert isinstance(message, Request)
    return message


def touch() -> tuple[object, ...]:
    m = read()
    return (
        m.via.branch,
        m.from_.tag,
        m.to.tag,
        m.call_id,
        m.cseq,
        m.contacts,
        m.max_forwards,
        m.request_uri,
        m.content_type,
        m.record_routes,
    )


STEPS = {
    "parse": read,
    "parse, topmost Via and CSeq (a retransmission)": lambda: (message := read()).via.branch and message.cseq,
    "parse, touched": touch,
    "parse, validated": lambda: validate_request(read()),
    "SDP parse": lambda: SessionDescription.parse(BODY.encode()),
    "SDP parse and answer": lambda: bytes(answer(SessionDescription.parse(BODY.encode()), LOCAL).description or b""),
}


def main() -> None:
    print(f"INVITE of {len(INVITE)} bytes, best of {ROUNDS} x {CALLS}")
    found = {}
    for name, step in STEPS.items():
        found[name] = min(repeat(step, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6
        print(f"{found[name]:8.1f} us  {name}")
    touched = Figure(
        name="an INVITE of 1.6 kB parsed, with all that a user agent reads",
        goal=f"≤ {GOAL_US:g} µs",
        measured=f"{found['parse, touched']:.1f} µs",
        met=found["parse, touched"] <= GOAL_US,
        method=f"in one process, best of {ROUNDS} x {CALLS}",
    )
    tell("sip_parse", [touched], us=found)


if __name__ == "__main__":
    main()
