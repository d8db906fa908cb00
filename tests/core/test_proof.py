"""Who knows the webhook's secret: the fields of each forge, and everything that must not pass."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slot_machine.core.proof import KNOWN, Check, Proof

SECRET, BODY = b"It's a Secret to Everybody", b"Hello, World!"
SIGNED = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""GitHub's own example: docs.github.com, "Validating webhook deliveries"."""

GOOD = {
    "GitHub": ("x-hub-signature-256", f"sha256={SIGNED}"),
    "Gitea": ("x-gitea-signature", SIGNED),
    "Forgejo": ("x-forgejo-signature", SIGNED),
    "GitLab": ("x-gitlab-token", SECRET.decode()),
    "bearer": ("authorization", f"Bearer {SECRET.decode()}"),
    "bearer in lower case": ("authorization", f"bearer  {SECRET.decode()}"),
}

BAD = {
    "nothing": [],
    "SHA-1": [("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")],
    "without its scheme": [("x-hub-signature-256", SIGNED)],
    "of another scheme": [("authorization", f"Basic {SECRET.decode()}")],
    "empty signature": [("x-hub-signature-256", "sha256=")],
    "empty token": [("x-gitlab-token", "")],
    "empty bearer": [("authorization", "Bearer ")],
    "no bearer": [("authorization", "Bearer")],
    "twice": [GOOD["GitHub"], GOOD["GitHub"]],
    "a wrong one before a right one": [("x-gitlab-token", "wrong"), GOOD["bearer"]],
    "beginning of the token": [("x-gitlab-token", SECRET.decode()[:-1])],
    "more than the token": [("x-gitlab-token", SECRET.decode() + "!")],
    "beginning of the signature": [("x-gitea-signature", SIGNED[:-1])],
    "in capitals": [("x-gitea-signature", SIGNED.upper())],
    "the signature as a token": [("x-gitlab-token", SIGNED)],
    "the token as a signature": [("x-gitea-signature", SECRET.decode())],
}


def passes(fields: list[tuple[str, str]], body: bytes = BODY, secret: bytes = SECRET) -> bool:
    proof = Proof.of(fields)
    if not proof:
        return False
    check = Check(proof, secret)
    for at in range(0, len(body), 5):
        check.take(body[at : at + 5])
    return check.holds()


@pytest.mark.parametrize("field", GOOD.values(), ids=GOOD)
def test_each_forge_is_believed(field: tuple[str, str]) -> None:
    assert passes([("host", "x"), field])
    assert not passes([field], secret=SECRET + b"!")


@pytest.mark.parametrize("forge", ["GitHub", "Gitea", "Forgejo"])
def test_signature_is_of_this_body_alone(forge: str) -> None:
    assert not passes([GOOD[forge]], BODY + b"!")
    assert not passes([GOOD[forge]], b"")


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
def test_others_are_not(fields: list[tuple[str, str]]) -> None:
    assert not passes(fields)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([*KNOWN, "x-hub-signature", "host"]), st.text("sha256=Bearer \xff0", max_size=80))
    ),
    st.binary(max_size=50),
    st.binary(min_size=8, max_size=64),
)
def test_nothing_passes_without_the_secret(fields: list[tuple[str, str]], body: bytes, secret: bytes) -> None:
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    knows = any(secret.decode("latin-1").strip() in value or signature in value for _, value in fields)
    assert knows or not passes(fields, body, secret)


@pytest.mark.parametrize("field", GOOD.values(), ids=GOOD)
def test_all_is_compared_in_constant_time(field: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(ours: bytes, given: bytes) -> bool:
        compared.append((len(ours), len(given)))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not passes([field])
    assert [len({*lengths}) for lengths in compared] == [1]
