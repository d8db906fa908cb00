"""The edge's own authority, for names that the internet can't see. Its root certificate is `internal/root.pem`."""

import os
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.errors import EdgeRefused
from slot_machine.edge import folder
from slot_machine.edge.certificates import RENEWED_AT, life_of

ROOT, ROOT_KEY = "root.pem", "root.key"
ROOT_DAYS, LEAF_DAYS = 3650, 90
LIMIT_S = 30.0
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Pair(NamedTuple):
    cert: str
    key: str


def pair_for(place: Path, key: str, names: tuple[str, ...], now: datetime) -> Pair:
    """The kept certificate for these names, or a new one. `key` is that of the app. Raises EdgeRefused. Blocks."""
    try:
        place.mkdir(mode=folder.FOLDER, exist_ok=True)
        cert, private, listed = (place / f"{key}.{suffix}" for suffix in ("pem", "key", "names"))
        text = "\n".join(names)
        if not _is_good(cert, now) or not listed.exists() or listed.read_text() != text:
            _root(place)
            _leaf(place, cert, private, names)
            folder.write(listed, text.encode())
        return Pair(cert.read_text(), private.read_text())
    except OSError as error:
        raise EdgeRefused(f"cannot keep a certificate in {place}: {error.strerror}") from None


def _is_good(cert: Path, now: datetime) -> bool:
    try:
        return not life_of(cert.read_bytes()).is_past(RENEWED_AT, now)
    except (OSError, ValueError):
        return False


def _root(place: Path) -> None:
    if (place / ROOT).exists() and (place / ROOT_KEY).exists():
        return
    with tempfile.TemporaryDirectory(dir=place) as made:
        _openssl(
            "req", "-x509", *NEW_KEY, "-keyout", f"{made}/key", "-out", f"{made}/cert", "-days", str(ROOT_DAYS),
            "-subj", "/CN=slot-machine edge", "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip
        os.replace(f"{made}/key", place / ROOT_KEY)
        os.replace(f"{made}/cert", place / ROOT)
    (place / ROOT_KEY).chmod(folder.PRIVATE)


def _leaf(place: Path, cert: Path, private: Path, names: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=place) as made:
        extensions = Path(made, "extensions")
        alternatives = ",".join(f"DNS:{name}" for name in names)
        extensions.write_text(
            f"subjectAltName={alternatives}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
        )
        _openssl("req", "-new", *NEW_KEY, "-keyout", f"{made}/key", "-out", f"{made}/request", "-subj", "/")
        _openssl(
            "x509", "-req", "-in", f"{made}/request", "-CA", str(place / ROOT), "-CAkey", str(place / ROOT_KEY),
            "-CAcreateserial", "-out", f"{made}/cert", "-days", str(LEAF_DAYS), "-extfile", str(extensions),
        )  # fmt: skip
        chain = Path(made, "cert").read_bytes() + (place / ROOT).read_bytes()
        folder.write(private, Path(made, "key").read_bytes())
        folder.write(cert, chain)


def _openssl(*args: str) -> None:
    try:
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgeRefused(
            f"cannot run openssl: {error}", "install openssl, which makes internal certificates"
        ) from None
    if done.returncode:
        raise EdgeRefused(f"openssl failed: {done.stderr.strip()[-300:]}")
