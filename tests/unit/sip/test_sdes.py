"""Keys in session descriptions: which lines are understood, what is answered, what is refused, when a key is used again."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from waitline.bridge.sip import sdes
from waitline.bridge.sip.sdes import KEY_BYTES, OFFERED, SUITES, CryptoLine, Encryption
from waitline.bridge.sip.sdp import EncryptionRefused, LocalMedia, NoCommonCodec, SessionDescription, accept, answer, offer
from waitline.errors import BridgeError

CM, CM_32, GCM, GCM_256 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
SEED = bytes(range(32))


def key(suite: str = CM, first: int = 1) -> str:
    return base64.b64encode(bytes(range(first, first + KEY_BYTES[suite]))).decode()


def line(suite: str = CM, *, tag: int = 1, rest: str = "", first: int = 1) -> str:
    return f"{tag} {suite} inline:{key(suite, first)}{rest}"


def local(policy: Any = "offered", **values: Any) -> LocalMedia:
    return LocalMedia(host="192.0.2.1", port=16384, rtcp_port=16384, encryption=Encryption(policy=policy, seed=SEED, **values))


def description(*media: str) -> SessionDescription:
    head = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    return SessionDescription.parse((head + "".join(f"{one}\r\n" for one in media)).encode())


SAVP, AVP = "m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("rest", ["", "|2^20", "|1048576", " WSH=64", "|2^31 WSH=128", " -x=1"])
def test_a_line_is_read_and_written(suite: str, rest: str) -> None:
    [found] = sdes.parse([line(suite, tag=42, rest=rest)])
    assert (found.tag, found.suite, found.key) == (42, suite, base64.b64decode(key(suite)))
    assert str(found) == line(suite, tag=42)


def test_a_key_without_its_padding_is_read() -> None:
    assert [len(found.key) for found in sdes.parse([line(GCM).rstrip("=")])] == [28]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        f"1 {CM}",
        line(CM, rest="|2^20|1:4"),
        line(CM, rest="|1:4"),
        line(CM, rest=f";inline:{key()}"),
        line(CM, rest=" KDR=1"),
        line(CM, rest=" UNENCRYPTED_SRTP"),
        line(CM, rest=" UNENCRYPTED_SRTCP"),
        line(CM, rest=" UNAUTHENTICATED_SRTP"),
        line(CM, rest=" FEC_ORDER=FEC_SRTP"),
        line(CM).replace("inline", "uri"),
        f"1 F8_128_HMAC_SHA1_80 inline:{key()}",
        f"1 {CM} inline:{key(GCM)}",
        f"1 {GCM_256} inline:{key(CM)}",
        f"x {CM} inline:{key()}",
        f"1 {CM} inline:{'A' * 41}",
        f"1 {CM} inline:{key()}|" + "9" * 400,
    ],
)
def test_a_line_that_we_cannot_do_is_passed_over(value: str) -> None:
    assert sdes.parse([value, line(GCM, tag=2)]) == sdes.parse([line(GCM, tag=2)])


def test_the_first_line_that_we_can_do_is_answered_with_its_tag_and_our_key() -> None:
    lines = ("1 NEW_SUITE inline:AAAA", line(GCM, tag=2), line(CM, tag=3))
    agreed = answer(description(SAVP, *(f"a=crypto:{one}" for one in lines)), local())
    assert agreed.crypto is not None
    assert (agreed.crypto.suite, agreed.crypto.receive_key) == (GCM, base64.b64decode(key(GCM)))
    assert agreed.description is not None
    [media] = agreed.description.media
    assert media.transport == "RTP/SAVP"
    assert media.attribute("crypto") == str(CryptoLine(2, GCM, agreed.crypto.send_key))
    assert agreed.crypto.send_key != agreed.crypto.receive_key


@pytest.mark.parametrize(("policy", "ports"), [("offered", (0, 16384)), ("required", (0, 16384)), ("off", (16384, 0))])
def test_of_two_lines_the_encrypted_one_is_taken_wherever_it_stands_unless_encryption_is_off(policy: str, ports: tuple[int, int]) -> None:
    agreed = answer(description(AVP, SAVP, f"a=crypto:{line()}"), local(policy))
    assert agreed.description is not None
    assert tuple(media.port for media in agreed.description.media) == ports
    assert bool(agreed.crypto) is (policy != "off")


@pytest.mark.parametrize(
    ("policy", "media", "reason"),
    [
        ("off", (SAVP, f"a=crypto:{line()}"), "encrypted media is not taken here"),
        ("required", (AVP,), "media must be encrypted"),
        ("required", (SAVP,), "none of the crypto suites"),
        ("required", (AVP, "a=crypto:1 NEW inline:AAAA"), "none of the crypto suites"),
        ("offered", (SAVP, "a=crypto:1 NEW inline:AAAA"), "none of the crypto suites"),
    ],
)
def test_what_policy_and_peer_do_not_agree_on_is_488_with_the_reason(policy: str, media: tuple[str, ...], reason: str) -> None:
    with pytest.raises(EncryptionRefused, match=reason) as caught:
        answer(description(*media), local(policy))
    assert caught.value.status == 488


@pytest.mark.parametrize("policy", ["offered", "required"])
def test_without_libsrtp_nothing_is_encrypted_and_what_must_be_is_refused(policy: str) -> None:
    with pytest.raises(EncryptionRefused, match="none of the crypto suites"):
        answer(description(SAVP, f"a=crypto:{line()}"), local(policy, suites=()))
    if policy == "required":
        with pytest.raises(EncryptionRefused, match="cannot be here"):
            offer(local(policy, suites=()))
    else:
        assert answer(description(AVP, f"a=crypto:{line()}"), local(policy, suites=())).crypto is None


def test_dtls_is_not_srtp_with_keys_in_the_description() -> None:
    with pytest.raises(NoCommonCodec, match="no audio stream"):
        answer(description("m=audio 4000 UDP/TLS/RTP/SAVP 0", f"a=crypto:{line()}"), local())


# --- our offers


@pytest.mark.parametrize(
    ("policy", "over_tls", "transport", "suites"),
    [
        ("off", True, "RTP/AVP", ()),
        ("offered", False, "RTP/AVP", ()),
        ("offered", True, "RTP/AVP", OFFERED),
        ("required", True, "RTP/SAVP", OFFERED),
    ],
)
def test_what_we_offer(policy: str, over_tls: bool, transport: str, suites: tuple[str, ...]) -> None:
    [media] = offer(local(policy, offer=over_tls)).media
    lines = sdes.parse(value for name, value in media.attributes if name == "crypto" and value)
    assert (media.transport, tuple(one.suite for one in lines)) == (transport, suites)
    assert len({one.key for one in lines}) == len(suites), "no key stands for two suites"


def test_the_answer_to_our_offer_says_which_key_counts() -> None:
    mine = local("required", offer=True)
    ours = offer(mine)
    lines = sdes.parse(value for name, value in ours.media[0].attributes if name == "crypto" and value)
    agreed = accept(ours, description(SAVP, f"a=crypto:{line(CM, tag=3, first=90)}"), mine.encryption)
    assert agreed.crypto is not None
    assert (agreed.crypto.suite, agreed.crypto.send_key) == (CM, lines[2].key)
    assert agreed.crypto.receive_key == base64.b64decode(key(CM, 90))


@pytest.mark.parametrize("crypto", ["", f"a=crypto:{line(CM, tag=1)}", f"a=crypto:{line(CM, tag=9)}"])
def test_an_answer_that_takes_nothing_of_what_we_offered_is_in_the_clear_or_refused(crypto: str) -> None:
    for policy in ("offered", "required"):
        mine = local(policy, offer=True)
        theirs = description(AVP, *([crypto] if crypto else []))
        if policy == "required":
            with pytest.raises(EncryptionRefused):
                accept(offer(mine), theirs, mine.encryption)
        else:
            assert accept(offer(mine), theirs, mine.encryption).crypto is None


# --- keys


def test_a_key_stays_while_its_suite_is_in_use_and_is_never_used_again_after() -> None:
    seen = []
    for generation, current in ((0, ""), (1, CM), (1, CM), (2, ""), (3, CM), (4, GCM), (5, CM)):
        seen.append(Encryption(policy="offered", seed=SEED, generation=generation, current=current).key(CM))
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] == seen[4]
    assert seen[5] == seen[6]
    assert len(set(seen)) == 3


def test_no_key_is_made_without_a_seed() -> None:
    with pytest.raises(BridgeError, match="no seed"):
        Encryption(policy="offered").key(CM)


def test_keys_are_not_in_what_is_logged() -> None:
    agreed = answer(description(SAVP, f"a=crypto:{line()}"), local())
    shown = repr(agreed.crypto) + repr(CryptoLine(1, CM, b"secret")) + repr(local().encryption)
    assert "secret" not in shown
    assert repr(SEED) not in shown
    assert "b'" not in shown
