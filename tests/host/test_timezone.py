"""The time zone of the schedules."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from slot_machine.core.errors import ConfigError
from slot_machine.host import timezone

ZONES = Path("/usr/share/zoneinfo")
SUMMER = datetime(2026, 7, 1)


def offset(name: str | None = None) -> timedelta | None:
    return timezone.find(name).utcoffset(SUMMER)


@pytest.fixture(autouse=True)
def machine_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(timezone, "MACHINE", ZONES / "Asia/Tokyo")


def test_the_field_comes_first_then_the_variable_then_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offset() == offset("") == timedelta(hours=9)
    for value in ("America/New_York", ":America/New_York", str(ZONES / "America/New_York")):
        monkeypatch.setenv("TZ", value)
        assert offset() == timedelta(hours=-4)
    assert offset("Europe/Zurich") == timedelta(hours=2)


def test_a_machine_without_a_zone_has_utc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(timezone, "MACHINE", tmp_path / "localtime")
    assert offset() == timedelta(0)


def test_a_variable_that_names_no_zone_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    assert offset() == timedelta(hours=9)
    assert "TZ=CET-1CEST,M3.5.0,M10.5.0/3 names no time zone" in caplog.text


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../zoneinfo/UTC", "/etc/localtime", "a" * 5000])
def test_a_name_that_the_machine_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cron_timezone: this machine knows no time zone"):
        timezone.find(name)
