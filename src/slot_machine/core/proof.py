"""How a call of the webhook proves that it knows the secret: by a signature of its body, or by the secret itself."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple, Self

SIGNATURES = {
    "x-hub-signature-256": "sha256=",
    "x-gitea-signature": "",
    "x-forgejo-signature": "",
}
"""Fields with the HMAC-SHA256 of the body, in hexadecimal, and what stands before it."""

TOKEN = "x-gitlab-token"
BEARER = "authorization"

KNOWN = (*SIGNATURES, TOKEN, BEARER)
"""The first of these that a request has is the one that counts."""


class Proof(NamedTuple):
    """`field` is the name of the field that has the proof, `given` what it has without what stands before."""

    field: str
    given: bytes

    @classmethod
    def of(cls, fields: Sequence[tuple[str, str]]) -> Self | None:
        """Names are in lower case. None if there is no proof, or if it is there twice."""
        for known in KNOWN:
            values = [value for name, value in fields if name == known]
            if values:
                return cls._of(known, values[0].strip()) if len(values) == 1 else None
        return None

    @classmethod
    def _of(cls, field: str, value: str) -> Self | None:
        before = SIGNATURES.get(field, "")
        if field == BEARER:
            scheme, _, value = value.partition(" ")
            return cls(field, value.strip().encode("latin-1")) if scheme.lower() == "bearer" else None
        return cls(field, value.removeprefix(before).encode("latin-1")) if value.startswith(before) else None


class Check:
    """Takes the body piece by piece, and keeps none of it."""

    def __init__(self, proof: Proof, secret: bytes) -> None:
        self._proof = proof
        self._secret = secret
        self._hmac = hmac.new(secret, digestmod="sha256")

    def take(self, piece: bytes) -> None:
        if self._proof.field in SIGNATURES:
            self._hmac.update(piece)

    def holds(self) -> bool:
        """In a time that tells nothing of the secret."""
        if self._proof.field in SIGNATURES:
            return hmac.compare_digest(self._hmac.hexdigest().encode(), self._proof.given)
        # The digests have one length, whatever the lengths of the secrets are.
        return hmac.compare_digest(_digest(self._secret), _digest(self._proof.given))


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
