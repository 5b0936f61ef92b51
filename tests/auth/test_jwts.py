"""JSON Web Tokens: who is let in, and who is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from app.auth.jwks import KeySet
from app.auth.jwts import JsonWebTokens, JwtRules
from app.errors import KeysUnavailable, TokenExpired, Unauthenticated
from tests.auth.conftest import MODE
from tests.support.issuer import Issuer

ISSUER = "https://clerk.example.com"
SECRET = "a secret of thirty-two bytes or more"
SITE = "https://app.example.com"


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"iss": ISSUER, "sub": "user_2abc", "exp": now + 60, "nbf": now - 10, "iat": now - 5, "azp": SITE, **more}
    return {name: value for name, value in found.items() if value is not ...}


@pytest.fixture
def tokens(issuer: Issuer) -> JsonWebTokens:
    """As in production with Clerk: keys by address, one issuer, one site."""
    issuer.publish("rsa1", "ec1")
    rules = JwtRules(issuer=ISSUER, authorized_parties=(SITE,), admins=frozenset({"user_admin"}))
    return JsonWebTokens(rules, KeySet(issuer.url, MODE))


def by_secret(**more: Any) -> JsonWebTokens:
    return JsonWebTokens(JwtRules(secret=SECRET, **more))


@pytest.mark.parametrize("kid", ["rsa1", "ec1"])
def test_a_good_token_is_taken(tokens: JsonWebTokens, issuer: Issuer, kid: str) -> None:
    """RS256 and ES256, with the issuer's keys; its end is that of the token, and of the tolerance."""
    given = claims(name="Ada  Lovelace", enterprise_id="ent_7")
    who = tokens.verify(issuer.token(given, kid))
    assert (who.id, who.kind, who.name, who.tenant, who.admin) == ("user_2abc", "jwt", "Ada Lovelace", "ent_7", False)
    assert who.expires_at == given["exp"] + 5
    assert tokens.verify(issuer.token(claims(sub="user_admin"), kid)).admin


def test_a_secret_is_taken_too() -> None:
    """HS256, without any address."""
    assert by_secret().verify(jwt.encode(claims(iss=...), SECRET, "HS256")).id == "user_2abc"
    with pytest.raises(Unauthenticated):
        by_secret().verify(jwt.encode(claims(), SECRET + "x", "HS256"))


def test_clerks_tokens_of_both_versions(tokens: JsonWebTokens, issuer: Issuer) -> None:
    """Version 1 names the organisation flat, version 2 in an object."""
    one = claims(sid="sess_1", org_id="org_1", org_role="org:admin", org_slug="acme", org_permissions=[])
    two = claims(
        sid="sess_2", v=2, fva=[3, -1], sts="active", pla="u:free", o={"id": "org_2", "rol": "admin", "slg": "a"}
    )
    keys = KeySet(issuer.url, MODE)
    for claim, given, tenant in (("org_id", one, "org_1"), ("o.id", two, "org_2"), ("o.id", one, None)):
        rules = JwtRules(issuer=ISSUER, authorized_parties=(SITE,), tenant_claim=claim)
        assert JsonWebTokens(rules, keys).verify(issuer.token(given, "rsa1")).tenant == tenant


def test_a_claim_may_have_dots_in_its_name(tokens: JsonWebTokens, issuer: Issuer) -> None:
    """As issuers make them that want their claims to be an address."""
    rules = JwtRules(issuer=ISSUER, tenant_claim="https://acme.example/tenant")
    given = claims(**{"https://acme.example/tenant": "t1"})
    assert JsonWebTokens(rules, KeySet(issuer.url, MODE)).verify(issuer.token(given, "ec1")).tenant == "t1"


def test_azp_may_be_missing(tokens: JsonWebTokens, issuer: Issuer) -> None:
    """Clerk leaves it out where there is no Origin, as in a native app."""
    assert tokens.verify(issuer.token(claims(azp=...), "rsa1")).id == "user_2abc"


def test_an_old_token_says_so(tokens: JsonWebTokens, issuer: Issuer) -> None:
    """A client may fetch a fresh one. Within the tolerance it still is good."""
    with pytest.raises(TokenExpired):
        tokens.verify(issuer.token(claims(exp=int(time.time()) - 6), "rsa1"))
    assert tokens.verify(issuer.token(claims(exp=int(time.time()) - 2), "rsa1"))


def now(seconds: int) -> int:
    return int(time.time()) + seconds


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example.com"},
        {"iss": ...},
        {"iss": [ISSUER]},
        {"azp": "https://evil.example.com"},
        {"azp": ["https://app.example.com"]},
        {"azp": ""},
        {"exp": ...},
        {"exp": "soon"},
        {"exp": None},
        {"exp": float("inf")},
        {"exp": str(int(time.time()) + 60)},
        {"iat": True},
        {"nbf": now(86_400)},
        {"iat": now(86_400)},
        {"nbf": "x"},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "local"},
        {"sub": "usr_0123"},
        {"sub": "x" * 201},
        {"sub": "a\nb"},
        {"sts": "pending"},
        {"sts": None},
        {"enterprise_id": {"id": "t"}},
        {"enterprise_id": ""},
    ],
    ids=lambda wrong: ",".join(f"{name} of tomorrow" if name in ("nbf", "iat") else str(wrong) for name in wrong),
)
def test_wrong_claims_are_refused(tokens: JsonWebTokens, issuer: Issuer, wrong: dict[str, Any]) -> None:
    """Though the signature is good."""
    assert tokens.verify(signed(issuer, claims()))
    with pytest.raises(Unauthenticated):
        tokens.verify(signed(issuer, claims(**wrong)))


def test_the_audience_is_looked_at_where_one_is_set() -> None:
    """One of several, or all."""
    strict = by_secret(audience=("colloquy",))
    assert strict.verify(jwt.encode(claims(aud=["x", "colloquy"]), SECRET, "HS256"))
    for wrong in ({"aud": "x"}, {}, {"aud": 7}, {"aud": []}):
        with pytest.raises(Unauthenticated):
            strict.verify(jwt.encode(claims(**wrong), SECRET, "HS256"))
    assert by_secret().verify(jwt.encode(claims(aud="whatever"), SECRET, "HS256"))


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(issuer: Issuer, payload: Any) -> str:
    """A token whose signature is good, whatever it says: PyJWT would not make some of them."""
    text = f"{part({'alg': 'RS256', 'kid': 'rsa1'})}.{part(payload)}"
    signer = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return f"{text}.{part(signer.sign(text.encode(), issuer.private['rsa1']))}"


def forged(header: Any, payload: Any = None, key: bytes = b"") -> str:
    """A token made by hand; signed by HMAC with whatever key."""
    signed = f"{part(header)}.{part(claims() if payload is None else payload)}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def attacks(issuer: Issuer) -> dict[str, str]:
    """Forgeries that are known to have worked somewhere."""
    public = issuer.private["rsa1"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    good = issuer.token(claims(), "rsa1")
    head, body, signature = good.split(".")
    mine = {"kty": "oct", "k": part(b"mine"), "kid": "rsa1"}
    return {
        "empty": "",
        "dots": "..",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.x",
        "another signature": f"{head}.{body}.{part(b'x' * 256)}",
        "another payload": f"{head}.{part(claims(sub='user_admin'))}.{signature}",
        "none": forged({"alg": "none", "kid": "rsa1"}),
        "None": forged({"alg": "None"}),
        "no alg": forged({"kid": "rsa1"}),
        "alg is a list": forged({"alg": ["RS256"], "kid": "rsa1"}),
        "HS256 with the public key (PEM)": forged({"alg": "HS256", "kid": "rsa1"}, key=pem),
        "HS256 with the public key (DER)": forged({"alg": "HS256", "kid": "rsa1"}, key=der),
        "HS256 with nothing": forged({"alg": "HS256"}),
        "ES256 with an RSA key": forged({"alg": "ES256", "kid": "rsa1"}),
        "ES256 of zeros": f"{part({'alg': 'ES256', 'kid': 'ec1'})}.{body}.{part(b'0' * 64)}",
        "RS512": forged({"alg": "RS512", "kid": "rsa1"}),
        "its own key": forged({"alg": "HS256", "kid": "rsa1", "jwk": mine}, key=b"mine"),
        "its own address": forged({"alg": "RS256", "kid": "other", "jku": "http://127.0.0.1:1/"}),
        "x5u": forged({"alg": "RS256", "x5u": "http://127.0.0.1:1/"}),
        "kid as a path": forged({"alg": "RS256", "kid": "../../../../dev/null"}),
        "kid as SQL": forged({"alg": "HS256", "kid": "x' UNION SELECT 'k"}, key=b"k"),
        "kid is no text": forged({"alg": "RS256", "kid": {"a": 1}}),
        "kid is long": forged({"alg": "RS256", "kid": "k" * 1500}),
        "crit": forged({"alg": "RS256", "kid": "rsa1", "crit": ["b64"], "b64": False}),
        "a header twice": forged(b'{"alg":"RS256","kid":"rsa1","alg":"none"}'),
        "a header that is a list": forged([1]),
        "a header that is no JSON": forged(b"\xff\xfe{"),
        "a claim twice": signed(issuer, json.dumps(claims())[:-1].encode() + b', "sub": "user_admin"}'),
        "a deep header": forged(b"[" * 1500),
        "a deep payload": forged({"alg": "RS256", "kid": "rsa1"}, b"[" * 4000),
        "huge": "a" * 1_000_000,
        "huge parts": f"{'a' * 3000}.{'b' * 3000}.{'c' * 3000}",
        "a nul": f"{head}\x00.{body}.{signature}",
        "not ASCII": f"{head}.{body}.\u202e{signature}",
        "half a surrogate pair": "\ud800.a.b",
        "padding": f"{head}==.{body}.{signature}",
        "a cookie": "eyJhIjoxfQ.ZxYw.abc-def",
    }


def refused(verifier: JsonWebTokens, token: str) -> bool:
    """Whether it is refused, and by nothing but this error."""
    try:
        verifier.verify(token)
    except Unauthenticated:
        return True
    return False


def test_forgeries_are_refused(tokens: JsonWebTokens, issuer: Issuer) -> None:
    """Each of the list, by name; also where a secret is set beside the keys."""
    assert tokens.verify(issuer.token(claims(), "rsa1"))
    both = JsonWebTokens(JwtRules(issuer=ISSUER, secret=SECRET), KeySet(issuer.url, MODE))
    for verifier in (tokens, both, by_secret()):
        for name, token in attacks(issuer).items():
            assert refused(verifier, token), f"admitted: {name}"


# --- keys that come and go --------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def test_a_new_key_is_found(issuer: Issuer) -> None:
    """An unknown id makes one look; a withdrawn key's tokens are no good from then on."""
    issuer.publish("rsa1")
    changed: list[int] = []
    keys = KeySet(issuer.url, MODE, clock=Clock(), on_change=lambda: changed.append(1))
    tokens = JsonWebTokens(JwtRules(issuer=ISSUER), keys)
    old = issuer.token(claims(), "rsa1")
    assert tokens.verify(old)
    issuer.publish("rsa1", "ec2")
    assert tokens.verify(issuer.token(claims(), "ec2"))
    assert tokens.verify(old)
    assert (keys.looks, len(changed)) == (2, 2)


def test_another_key_under_the_same_id_is_a_new_one(issuer: Issuer) -> None:
    """What was verified with the old one is looked at again: the set of ids is the same."""
    issuer.publish("rsa1")
    changed: list[int] = []
    clock = Clock()
    keys = KeySet(issuer.url, MODE, clock=clock, on_change=lambda: changed.append(1))
    tokens = JsonWebTokens(JwtRules(issuer=ISSUER), keys)
    old = issuer.token(claims(), "rsa1")
    assert tokens.verify(old)
    del issuer.private["rsa1"]
    issuer.publish("rsa1")
    with pytest.raises(Unauthenticated):
        tokens.verify(forged({"alg": "RS256", "kid": "other"}))
    assert len(changed) == 2
    assert tokens.verify(issuer.token(claims(), "rsa1"))
    with pytest.raises(Unauthenticated):
        tokens.verify(old)


def test_unknown_ids_make_one_look_in_30_s(issuer: Issuer) -> None:
    """Whatever arrives: else anybody could make us besiege the issuer."""
    issuer.publish("rsa1", "ec1")
    clock = Clock()
    keys = KeySet(issuer.url, MODE, clock=clock)
    tokens = JsonWebTokens(JwtRules(issuer=ISSUER), keys)
    before = issuer.asked
    for number in range(50):
        with pytest.raises(Unauthenticated):
            tokens.verify(forged({"alg": "RS256", "kid": f"k{number}"}))
    assert issuer.asked - before == 2  # the first of all, and one
    clock.at += 29.9
    with pytest.raises(Unauthenticated):
        tokens.verify(forged({"alg": "RS256", "kid": "other"}))
    assert issuer.asked - before == 2
    clock.at += 0.2
    with pytest.raises(Unauthenticated):
        tokens.verify(forged({"alg": "RS256", "kid": "other"}))
    assert issuer.asked - before == 3


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"{}", b'{"keys": []}', b"[" * 5000, b'{"keys": ["x", {"kty": "oct", "k": "AA"}]}', b"x" * 300_000],
)
def test_old_keys_stay_while_the_address_is_away(issuer: Issuer, answer: bytes | None) -> None:
    """Or while it says nonsense, or too much."""
    issuer.publish("rsa1")
    tokens = JsonWebTokens(JwtRules(issuer=ISSUER), KeySet(issuer.url, MODE, clock=Clock()))
    good = issuer.token(claims(), "rsa1")
    assert tokens.verify(good)
    issuer.document = answer
    with pytest.raises(Unauthenticated):
        tokens.verify(forged({"alg": "RS256", "kid": "new"}))
    assert tokens.verify(good)


def test_without_keys_nobody_can_say(issuer: Issuer) -> None:
    """That is our trouble, not the token's: try again. When the address is back, so are we."""
    issuer.publish("rsa1")
    good, document, issuer.document = issuer.token(claims(), "rsa1"), issuer.document, None
    clock = Clock()
    tokens = JsonWebTokens(JwtRules(issuer=ISSUER), KeySet(issuer.url, MODE, clock=clock))
    with pytest.raises(KeysUnavailable) as refused:
        tokens.verify(good)
    assert refused.value.retry_after_s
    issuer.document = document
    clock.at += 31
    assert tokens.verify(good)


def test_keys_that_are_of_no_use_are_passed_over(issuer: Issuer) -> None:
    """Symmetric, short, for encryption, of another curve, of another algorithm."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from app.auth.jwks import keys_in

    def public(kind: Any, key: Any) -> dict[str, Any]:
        return dict(kind.to_jwk(key.public_key(), as_dict=True))

    good, short = public(jwt.algorithms.RSAAlgorithm, issuer.private["rsa1"]), 1024
    entries = [
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "512", "alg": "RS512"},
        {**public(jwt.algorithms.RSAAlgorithm, rsa.generate_private_key(65537, short)), "kid": "short"},
        {**public(jwt.algorithms.ECAlgorithm, ec.generate_private_key(ec.SECP384R1())), "kid": "p384"},
        {**dict(jwt.algorithms.RSAAlgorithm.to_jwk(issuer.private["rsa1"], as_dict=True)), "kid": "private"},
        {"kty": "oct", "k": part(b"x" * 32), "kid": "oct", "alg": "HS256"},
        {**good, "kid": 7},
        {**good, "n": "!"},
        None,
    ]
    with pytest.raises(ValueError, match="no RS256"):
        keys_in(json.dumps({"keys": entries}).encode())
    assert set(keys_in(json.dumps({"keys": [*entries, {**good, "kid": "good"}]}).encode())) == {("good", "RS256")}
