import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slot_machine.core.errors import StartRefused
from slot_machine.edge import certificates
from slot_machine.edge.certificates import Broken, Life
from slot_machine.edge.progress import AFTER_FAILURE_S, ASKED_S, ORDER_LIMIT_S, Progress

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LIFE = Life(BEGIN, BEGIN + timedelta(days=90))
OVERDUE = BEGIN + timedelta(days=63)


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = tmp_path_factory.mktemp("pem")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(made / "key"), "-out", str(made / "cert"), "-days", "90", "-subj", "/CN=a.example"]
    subprocess.run([*new, *files], check=True, capture_output=True)
    return (made / "cert").read_bytes()


def stored(storage: Path, pem: bytes, *names: str) -> None:
    kept = [{"domain": {"main": name}, "certificate": base64.b64encode(pem).decode(), "key": "k"} for name in names]
    storage.write_text(json.dumps({"acme-1": {"Account": {"Email": "x"}, "Certificates": kept}}))
    storage.chmod(0o600)


def test_life_of_a_certificate(pem: bytes) -> None:
    life = certificates.life_of(b"text before\n" + pem)
    assert life.end - life.begin == timedelta(days=90)
    assert abs(datetime.now(UTC) - life.begin) < timedelta(minutes=5)


def test_key_that_is_not_rsa_has_no_size(pem: bytes) -> None:
    assert certificates.rsa_bits(pem) == 0


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", b"\xff"])
def test_what_is_no_certificate(text: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        certificates.life_of(text)


def test_storage(tmp_path: Path, pem: bytes) -> None:
    storage = tmp_path / "acme.json"
    assert certificates.read(storage) == {}
    storage.write_text("")
    assert certificates.read(storage) == {}
    stored(storage, pem, "a.example", "b.example")
    assert list(certificates.read(storage)) == ["a.example", "b.example"]
    storage.write_text("{")
    with pytest.raises(Broken):
        certificates.read(storage)


def test_certificates_that_nobody_needs_are_removed(tmp_path: Path, pem: bytes) -> None:
    storage = tmp_path / "acme.json"
    stored(storage, pem, "a.example", "b.example")
    assert certificates.prune(storage, {"b.example"}) == ["a.example"]
    assert list(certificates.read(storage)) == ["b.example"]
    assert json.loads(storage.read_text())["acme-1"]["Account"] == {"Email": "x"}
    assert storage.stat().st_mode & 0o777 == 0o600
    assert certificates.prune(storage, {"b.example"}) == []


@pytest.mark.parametrize("lost", ["", "{", None])
def test_a_lost_storage_is_replaced_by_its_copy(tmp_path: Path, pem: bytes, lost: str | None) -> None:
    storage = tmp_path / "acme.json"
    stored(storage, pem, "a.example")
    certificates.keep_copy(storage)
    if lost is None:
        storage.unlink()
    else:
        storage.write_text(lost)
    assert "were lost" in certificates.prepare(storage)
    assert list(certificates.read(storage)) == ["a.example"]


def test_a_damaged_storage_without_a_copy_is_no_reason_to_order_all_anew(tmp_path: Path) -> None:
    storage = tmp_path / "acme.json"
    storage.write_text("{")
    with pytest.raises(StartRefused, match="damaged"):
        certificates.prepare(storage)


def test_a_storage_that_others_can_read_is_closed(tmp_path: Path, pem: bytes) -> None:
    storage = tmp_path / "acme.json"
    stored(storage, pem, "a.example")
    storage.chmod(0o644)
    assert "readable by others" in certificates.prepare(storage)
    assert storage.stat().st_mode & 0o777 == 0o600
    assert certificates.prepare(storage) == ""


def test_a_broken_storage_does_not_replace_the_copy(tmp_path: Path, pem: bytes) -> None:
    storage = tmp_path / "acme.json"
    stored(storage, pem, "a.example")
    certificates.keep_copy(storage)
    storage.write_text("")
    certificates.keep_copy(storage)
    assert "were lost" in certificates.prepare(storage)


def test_a_certificate_is_overdue_after_two_thirds_of_its_life() -> None:
    assert not LIFE.is_overdue(BEGIN + timedelta(days=61))
    assert LIFE.is_overdue(OVERDUE)


def test_no_order_before_the_name_leads_here() -> None:
    progress = Progress()
    progress.want(["a.example"])
    assert progress.due(0) == ["a.example"]
    assert not progress.looked("a.example", "waiting for DNS of a.example: no address", 0)
    assert not progress.asks("a.example")
    assert progress.due(1) == []
    assert progress.status("a.example", BEGIN).state == "waiting"
    assert progress.status("a.example", BEGIN).detail == "waiting for DNS of a.example: no address"
    assert progress.looked("a.example", "", 10)
    assert progress.asks("a.example")
    assert progress.status("a.example", BEGIN).state == "ordering"
    progress.were_asked(10)
    assert progress.asks("a.example")
    progress.were_asked(10 + ASKED_S)
    assert not progress.asks("a.example")
    assert progress.status("a.example", BEGIN).state == "ordering"
    assert progress.due(11) == []
    progress.found({"a.example": LIFE})
    assert progress.status("a.example", BEGIN).expires == "2026-04-01T00:00:00Z"
    assert progress.status("a.example", BEGIN).state == "valid"
    assert progress.status("a.example", OVERDUE).state == "overdue"


def test_failed_orders_are_tried_again_less_and_less() -> None:
    progress = Progress()
    progress.want(["a.example"])
    now_s = 0.0
    for wait_s in (*AFTER_FAILURE_S, AFTER_FAILURE_S[-1]):
        progress.looked("a.example", "", now_s)
        assert progress.failed("a.example", "refused", now_s)
        assert not progress.asks("a.example")
        assert progress.status("a.example", BEGIN).state == "failed"
        assert progress.due(now_s + wait_s - 1) == []
        progress.hurry()
        assert progress.due(now_s + wait_s - 1) == []
        now_s += wait_s
        assert progress.due(now_s) == ["a.example"]


def test_a_failed_renewal_keeps_the_certificate() -> None:
    progress = Progress()
    progress.want(["a.example"])
    progress.found({"a.example": LIFE})
    assert not progress.failed("a.example", "refused", 0)
    assert progress.due(1) == []
    assert progress.status("a.example", BEGIN).detail == "refused"


def test_an_order_that_nobody_answers_has_failed() -> None:
    progress = Progress()
    progress.want(["a.example"])
    progress.looked("a.example", "", 0)
    assert progress.late(ORDER_LIMIT_S) == []
    assert progress.late(ORDER_LIMIT_S + 1) == ["a.example"]


def test_names_that_were_left_out_are_forgotten() -> None:
    progress = Progress()
    progress.want(["a.example"])
    progress.want([])
    assert progress.due(0) == []
    assert not progress.looked("a.example", "", 0)
    assert not progress.failed("a.example", "refused", 0)
