from dataclasses import replace

import pytest

from waitline.bridge.sip.digest import (
    Authorization,
    NonceCounts,
    NonceFactory,
    Verdict,
    answer_challenge,
    challenge,
    digest_response,
    ha1,
    verify,
)
from waitline.errors import SipError

REALM, URI = "sip.example.com", "sip:+15550100@example.com"
KEY = b"k" * 32


class Server:
    """One side of the exchange, with a clock that is set by hand."""

    def __init__(self, life_s=300.0, capacity=100):
        self.nonces = NonceFactory(KEY, life_s=life_s)
        self.counts = NonceCounts(capacity)
        self.now = 1000.0
        self.hashes = {algorithm: ha1("bob", REALM, "Secret123456", algorithm) for algorithm in ("MD5", "SHA-256")}

    def challenge(self, stale=False):
        return challenge(REALM, self.nonces.new(self.now), stale=stale)

    def judge(self, credentials, *, method="REGISTER", uri=URI, hashes=...):
        return verify(
            credentials,
            method=method,
            uri=uri,
            realm=REALM,
            hashes=self.hashes if hashes is ... else hashes,
            nonces=self.nonces,
            counts=self.counts,
            now=self.now,
        )


def credentials(challenges, *, password="Secret123456", method="REGISTER", uri=URI, nc=1):
    return answer_challenge(challenges, method=method, uri=uri, username="bob", password=password, cnonce="0a4f113b", nc=nc)


def without_qop(server):
    """What a simple phone sends: RFC 2069's form."""
    nonce = server.nonces.new(server.now)
    response = digest_response("MD5", server.hashes["MD5"], method="REGISTER", uri=URI, nonce=nonce)
    return Authorization(username="bob", realm=REALM, nonce=nonce, uri=URI, response=response)


# --- published vectors


def test_the_md5_vector_of_rfc_2617():
    secret = ha1("Mufasa", "testrealm@host.com", "Circle Of Life")
    response = digest_response(
        "MD5",
        secret,
        method="GET",
        uri="/dir/index.html",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop="auth",
        nc="00000001",
        cnonce="0a4f113b",
    )
    assert response == "6629fae49393a05397450978507c4ef1"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [("MD5", "8ca523f5e9506fed4657c9700eebdbec"), ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")],
)
def test_the_vectors_of_rfc_7616(algorithm, response):
    secret = ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
    made = digest_response(
        algorithm,
        secret,
        method="GET",
        uri="/dir/index.html",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        qop="auth",
        nc="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert made == response


# --- the server's side


def test_md5_is_challenged_first_for_phones_that_read_one_challenge_and_then_sha_256():
    assert challenge("r", "n") == [
        'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"',
        'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"',
    ]
    assert all(value.endswith(", stale=true") for value in challenge("r", "n", stale=True))


@pytest.mark.parametrize(("first", "algorithm"), [(0, "MD5"), (1, "SHA-256")])
def test_a_right_answer_is_ok(first, algorithm):
    server = Server()
    given = credentials(server.challenge()[first:])
    assert given.algorithm == algorithm
    assert server.judge(Authorization.parse(str(given))) is Verdict.OK


def test_a_right_answer_without_qop_is_ok_until_the_nonce_ends():
    server = Server()
    given = without_qop(server)
    assert server.judge(given) is Verdict.OK
    assert server.judge(given) is Verdict.OK
    server.now += 300
    assert server.judge(given) is Verdict.STALE


@pytest.mark.parametrize(
    "change",
    [
        {"response": "0" * 32},
        {"response": ""},
        {"response": "ü"},
        {"cnonce": "other"},
        {"nc": "00000002"},
        {"uri": "sip:other@example.com"},
    ],
)
def test_an_answer_that_does_not_fit_is_bad(change):
    server = Server()
    assert server.judge(replace(credentials(server.challenge()), **change)) is Verdict.BAD


def test_a_wrong_password_is_bad_even_with_an_old_nonce():
    server = Server()
    given = credentials(server.challenge(), password="wrong")
    server.now += 1000
    assert server.judge(given) is Verdict.BAD


def test_credentials_of_another_request_are_bad():
    server = Server()
    given = credentials(server.challenge())
    assert server.judge(given, method="INVITE") is Verdict.BAD
    assert server.judge(given, uri="sip:+15550999@example.com") is Verdict.BAD
    assert server.judge(replace(given, uri="nonsense")) is Verdict.BAD


def test_a_phone_that_hashes_the_domain_alone_is_let_in_and_at_that_domain_only():
    server = Server()
    given = credentials(server.challenge(), uri="sip:" + URI.partition("@")[2] + ";transport=UDP")
    assert server.judge(given, uri="sip:+15550999@elsewhere.test") is Verdict.BAD
    assert server.judge(given) is Verdict.OK


def test_a_challenge_may_leave_an_algorithm_out():
    assert ["MD5" in value for value in challenge(REALM, "n", algorithms=("MD5",))] == [True]


def test_parameters_of_the_uri_may_change_on_the_way():
    server = Server()
    assert server.judge(credentials(server.challenge()), uri=URI + ":5060;transport=tcp") is Verdict.OK


def test_a_hash_for_a_uri_that_cannot_be_read_is_bad():
    server = Server()
    assert server.judge(credentials(server.challenge(), uri="nonsense")) is Verdict.BAD


@pytest.mark.parametrize(
    "change",
    [
        {"realm": "elsewhere"},
        {"algorithm": "MD5-SESS"},
        {"algorithm": "SHA-512-256"},
        {"qop": "auth-int"},
        {"nc": ""},
        {"nc": "1"},
        {"nc": "0000000x"},
        {"cnonce": ""},
    ],
)
def test_what_was_not_offered_is_unknown(change):
    server = Server()
    assert server.judge(replace(credentials(server.challenge()), **change)) is Verdict.UNKNOWN


def test_an_unknown_user_is_unknown():
    server = Server()
    assert server.judge(credentials(server.challenge()), hashes=None) is Verdict.UNKNOWN
    assert server.judge(credentials(server.challenge()), hashes={"SHA-256": "x"}) is Verdict.UNKNOWN


def test_an_expired_nonce_is_stale_and_a_new_one_is_ok():
    server = Server(life_s=60)
    given = credentials(server.challenge())
    server.now += 60
    assert server.judge(given) is Verdict.STALE
    assert server.judge(credentials(server.challenge(stale=True))) is Verdict.OK


@pytest.mark.parametrize("nonce", ["", "x", "1.2.3", "ü.1.2", "f" * 500])
def test_a_nonce_that_is_not_ours_is_stale_if_the_answer_is_right(nonce):
    server = Server()
    assert server.judge(credentials(challenge(REALM, nonce))) is Verdict.STALE


def test_a_nonce_of_the_future_or_of_another_key_is_not_ours():
    server = Server()
    assert not server.nonces.is_fresh(server.nonces.new(server.now + 10), server.now)
    assert NonceFactory(b"other").issued_ms(server.nonces.new(server.now)) is None
    assert server.nonces.issued_ms(server.nonces.new(1.5)) == 1500


def test_two_nonces_of_one_moment_differ():
    nonces = NonceFactory(KEY)
    assert nonces.new(1.0) != nonces.new(1.0)


# --- nonce counts


def test_a_replayed_count_is_stale_and_the_next_count_ok():
    server = Server()
    challenges = server.challenge()
    assert server.judge(credentials(challenges, nc=1)) is Verdict.OK
    assert server.judge(credentials(challenges, nc=1)) is Verdict.STALE
    assert server.judge(credentials(challenges, nc=2)) is Verdict.OK


def test_counts_may_overtake_each_other_within_the_window_and_each_counts_once():
    counts = NonceCounts()
    assert [counts.use("n", 1, number) for number in (5, 3, 3, 5, 4, 80, 17, 16, 5, 200, 137, 136)] == [
        True,
        True,
        False,
        False,
        True,
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_table_is_bounded_and_what_is_forgotten_is_not_believed():
    counts = NonceCounts(capacity=2)
    for issued_ms in (1, 2, 3):
        assert counts.use(f"n{issued_ms}", issued_ms, 1)
    assert len(counts) == 2
    assert not counts.use("n1", 1, 2)
    assert counts.use("n3", 3, 2)


# --- the header


def test_an_authorization_is_read_and_written():
    text = (
        'Digest username="b\\"ob", realm="r", nonce="n", uri="sip:a,b@h", response="ABC", algorithm=sha-256, '
        'qop=AUTH, nc=00000001, cnonce="c", opaque="o"'
    )
    given = Authorization.parse(text)
    assert given is not None
    assert (given.username, given.uri, given.response, given.algorithm, given.qop, given.opaque) == (
        'b"ob',
        "sip:a,b@h",
        "abc",
        "SHA-256",
        "auth",
        "o",
    )
    assert Authorization.parse(str(given)) == given


def test_quoted_qop_and_unquoted_values_of_odd_phones_are_read():
    given = Authorization.parse('digest username="b",realm="r" , nonce=n,uri="sip:h",response=x,qop="auth",nc=00000001,cnonce=c')
    assert given is not None
    assert (given.nonce, given.qop, given.algorithm) == ("n", "auth", "MD5")


def test_another_scheme_is_no_digest():
    assert Authorization.parse("NoOneKnowsThisScheme opaque-data=here") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Digest", "lacks nonce, realm, response, uri, username"),
        ('Digest username="b", realm="r", nonce="n", uri="u"', "lacks response"),
        ('Digest username="b", username="c"', "cannot be read"),
        ("Digest username", "cannot be read"),
        ('Digest user name="b"', "cannot be read"),
        ('Digest username="b, realm="r"', "not closed"),
    ],
)
def test_a_digest_that_cannot_be_read_is_refused(text, why):
    with pytest.raises(SipError, match=why):
        Authorization.parse(text)


# --- the client's side


def test_the_first_challenge_we_understand_is_answered():
    given = credentials(
        [
            'Basic realm="r"',
            'Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth-int"',
            'Digest realm="r", nonce="n", qop="auth-int, auth", opaque="o"',
        ],
        nc=26,
    )
    assert (given.algorithm, given.qop, given.nc, given.opaque) == ("MD5", "auth", "0000001a", "o")


def test_a_challenge_without_qop_is_answered_in_the_old_form():
    given = credentials(['Digest realm="r", nonce="n"'])
    assert (given.qop, given.nc, given.cnonce) == (None, "", "")
    assert "qop" not in str(given)


@pytest.mark.parametrize("challenges", [[], ['Basic realm="r"'], ['Digest realm="r"'], ['Digest realm="r", nonce="n", algorithm=MD5-sess']])
def test_no_challenge_we_can_answer_is_an_error(challenges):
    with pytest.raises(SipError, match="no challenge"):
        credentials(challenges)
