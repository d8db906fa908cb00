"""The certificates that Traefik keeps: what there is, until when, a copy, and those that nobody needs any more."""

import base64
import logging
import os
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.core.errors import StartRefused
from slot_machine.edge.folder import PRIVATE, write

RENEWED_AT = 2 / 3
"""The part of its life after which a certificate is renewed."""
SLACK = timedelta(days=2)
PRUNED_AT = 0.5
RSA = bytes.fromhex("2a864886f70d010101")
"""The object identifier rsaEncryption (RFC 8017, appendix C)."""

log = logging.getLogger(__name__)


class Life(NamedTuple):
    begin: datetime
    end: datetime

    def is_overdue(self, now: datetime) -> bool:
        """Whether it should have been renewed. Traefik looks once a day."""
        life = self.end - self.begin
        return now > self.begin + life * RENEWED_AT + min(SLACK, life / 12)

    def is_past(self, part: float, now: datetime) -> bool:
        return now > self.begin + (self.end - self.begin) * part


class Broken(ValueError):
    pass


class Domain(msgspec.Struct):
    main: str
    sans: tuple[str, ...] | None = None


class Kept(msgspec.Struct):
    """In Traefik's storage. `certificate` is PEM, in base64."""

    domain: Domain
    certificate: str


def read(storage: Path) -> dict[str, Life]:
    """By name of the host. Empty if there is no storage. Raises Broken, OSError."""
    found: dict[str, Life] = {}
    for _, kept in _certificates(_decoded(storage)):
        try:
            life = life_of(base64.b64decode(kept.certificate))
        except (ValueError, IndexError) as error:
            raise Broken(f"{storage}: {error!r}") from None
        for name in (kept.domain.main, *(kept.domain.sans or ())):
            found[name] = life
    return found


def prune(storage: Path, wanted: Collection[str]) -> list[str]:
    """Removes the certificates of other names: Traefik would renew them for ever. Only while no Traefik writes it.

    Returns their names. Raises Broken, OSError.
    """
    content = _decoded(storage)
    certificates = _certificates(content)
    gone = [kept.domain.main for _, kept in certificates if kept.domain.main not in wanted]
    if gone:
        for resolver in content.values():
            left = [raw for raw, kept in _of(resolver) if kept.domain.main in wanted]
            resolver["Certificates"] = msgspec.Raw(msgspec.json.encode(left))
        write(storage, msgspec.json.encode(content))
    return gone


def prepare(storage: Path) -> str:
    """Checks the storage before Traefik uses it, and takes the copy if it is lost. Returns a warning, or nothing.

    Traefik refuses one that others may read, and orders all certificates anew if it is not there: after a few times,
    the authority refuses that for a week. Raises StartRefused.
    """
    copy = _copy_of(storage)
    warning = ""
    try:
        if storage.exists() and os.stat(storage).st_mode & 0o077:
            storage.chmod(PRIVATE)
            warning = f"{storage} was readable by others; it is no longer"
        if not _is_sound(storage):
            if _is_sound(copy):
                write(storage, copy.read_bytes())
                warning = f"the certificates in {storage} were lost; the copy beside it took their place"
            elif storage.exists() and storage.stat().st_size:
                raise StartRefused(
                    f"{storage} is damaged, and so is its copy", "restore it from a backup, or remove it"
                )
        if storage.exists() and not os.access(storage, os.W_OK):
            raise StartRefused(
                f"cannot write to {storage}", "renewed certificates would be lost: let the edge write there"
            )
    except OSError as error:
        raise StartRefused(f"cannot use {storage}: {error.strerror}") from None
    return warning


def keep_copy(storage: Path) -> None:
    """If it has certificates. Raises OSError."""
    copy = _copy_of(storage)
    if not _is_sound(storage):
        return
    content = storage.read_bytes()
    if not copy.exists() or copy.read_bytes() != content:
        write(copy, content)


def life_of(pem: bytes) -> Life:
    """Of the first certificate. Raises ValueError, IndexError."""
    begin, end = _fields(_parts(pem)[3][1])[:2]
    return Life(_time(*begin), _time(*end))


def rsa_bits(pem: bytes) -> int:
    """The size of the first certificate's key; 0 for a key that is not RSA. Raises ValueError, IndexError."""
    algorithm, key = _fields(_parts(pem)[5][1])[:2]
    if _inside(algorithm[1]) != RSA:
        return 0
    modulus = _inside(_inside(key[1][1:]))  # The first byte of a BIT STRING counts unused bits.
    return int.from_bytes(modulus).bit_length()


def _parts(pem: bytes) -> list[tuple[int, bytes]]:
    """serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo and so on: RFC 5280 section 4.1."""
    found = re.search(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", pem, re.DOTALL)
    if not found:
        raise ValueError("there is no certificate")
    certificate = _inside(base64.b64decode(found[1]))
    fields = _fields(_inside(certificate))
    if fields[0][0] == 0xA0:  # version
        fields = fields[1:]
    return fields


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and contents of each element (X.690, DER)."""
    found = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start])
        if len(data) < start + length:
            raise ValueError("a certificate that is cut off")
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
    return found


def _inside(data: bytes) -> bytes:
    fields = _fields(data)
    if not fields:
        raise ValueError("an empty certificate")
    return fields[0][1]


def _time(tag: int, text: bytes) -> datetime:
    """UTCTime means 1950 to 2049 (RFC 5280 section 4.1.2.5)."""
    form = "%Y%m%d%H%M%SZ" if tag == 0x18 else "%y%m%d%H%M%SZ"
    return datetime.strptime(text.decode(), form).replace(tzinfo=UTC)


def _copy_of(storage: Path) -> Path:
    return storage.with_suffix(".copy")


def _is_sound(storage: Path) -> bool:
    """Whether it has certificates, or at least an account, and can be read."""
    try:
        read(storage)
        return bool(_decoded(storage))
    except (Broken, OSError):
        return False


def _decoded(storage: Path) -> dict[str, dict[str, msgspec.Raw]]:
    """By resolver. Raises Broken, OSError."""
    try:
        content = storage.read_bytes()
        return msgspec.json.decode(content, type=dict[str, dict[str, msgspec.Raw]]) if content.strip() else {}
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise Broken(f"{storage}: {error}") from None


def _certificates(content: dict[str, dict[str, msgspec.Raw]]) -> list[tuple[msgspec.Raw, Kept]]:
    return [pair for resolver in content.values() for pair in _of(resolver)]


def _of(resolver: dict[str, msgspec.Raw]) -> list[tuple[msgspec.Raw, Kept]]:
    """Raises Broken."""
    try:
        listed = msgspec.json.decode(resolver.get("Certificates", b"null"), type=list[msgspec.Raw] | None) or []
        return [(raw, msgspec.json.decode(raw, type=Kept)) for raw in listed]
    except msgspec.MsgspecError as error:
        raise Broken(f"the certificates are malformed: {error}") from None
