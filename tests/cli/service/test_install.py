"""`install` and `uninstall`, with a systemctl that writes down how it was called."""

import json
import os
import pty
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest

from slot_machine.cli.service import install, start_options, systemd
from slot_machine.cli.service.install import Wishes
from slot_machine.cli.service.systemd import Systemd
from slot_machine.core.errors import ConfigError, ServiceFailed
from slot_machine.daemon.lock import locked

UNIT = "slot-machine-shop.service"


class Here:
    """A folder with an app, and a user's systemd that only writes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.app = folder / "app"
        self.app.mkdir()
        self.configure(name="shop")
        self.units = folder / "config/systemd/user"
        self.unit = self.units / UNIT
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.program("systemctl", f'test "$1" = --version || echo "$*" >> {self.calls}')
        self.program("systemd-analyze", "exit 0")
        self.program("slot-machine", "exit 0")

    def program(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def configure(self, **config: object) -> None:
        (self.app / "slot-machine.json").write_text(json.dumps({"start_command": "app"} | config))

    def install(self, *words: str, name: str = "") -> None:
        options, absolute = start_options.read(words)
        install.install(Wishes("", name, True, absolute, may_ask=True), options)

    def called(self) -> list[str]:
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return calls


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here(tmp_path)
    (tmp_path / "run/systemd").mkdir(parents=True)
    monkeypatch.chdir(here.app)
    monkeypatch.setenv("PATH", f"{here.bin}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(sys, "argv", [str(here.bin / "slot-machine"), "install"])
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(systemd, "LINGER", tmp_path)
    return here


def test_unit_is_written_and_enabled_and_a_second_run_changes_no_byte(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    here.install()
    before, time = here.unit.read_bytes(), here.unit.stat().st_mtime_ns
    assert here.called() == ["--user daemon-reload", f"--user enable {UNIT}"]
    assert capsys.readouterr().out == f"wrote {here.unit}\n"
    assert here.unit.stat().st_mode & 0o777 == 0o644

    here.install()

    assert (here.unit.read_bytes(), here.unit.stat().st_mtime_ns) == (before, time)
    said = capsys.readouterr()
    assert said.out == f"unchanged: {here.unit}\n"
    assert f"start it by `systemctl --user start {UNIT}`" in said.err
    assert [path.name for path in here.units.iterdir()] == [UNIT]


def test_change_is_shown_before_it_is_made(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    here.install()
    capsys.readouterr()
    data = here.app / ".slot-machine"
    data.mkdir()

    with locked(data, 1):
        here.install("--no-proxy", "--repo", ".")

    said = capsys.readouterr()
    assert said.out == f"wrote {here.unit}\n"
    assert f"-ExecStart={here.bin}/slot-machine start\n" in said.err
    assert f"+ExecStart={here.bin}/slot-machine start --repo={here.app} --no-proxy\n" in said.err
    assert f"takes effect after `systemctl --user restart {UNIT}`" in said.err


def test_terminal_is_asked_before_a_unit_is_changed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.install()
    before = here.unit.read_text()
    here.unit.write_text(before + "# mine\n")
    terminal, theirs = pty.openpty()
    with os.fdopen(os.dup(theirs), "w") as screen, os.fdopen(theirs) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        monkeypatch.setattr(sys, "stderr", screen)
        for answer in (b"n\n", b"y\n"):
            assert here.unit.read_text() == before + "# mine\n"
            os.write(terminal, answer)
            with suppress(click.Abort):
                here.install()
        monkeypatch.undo()
    os.close(terminal)
    assert here.unit.read_text() == before


def test_without_systemd_the_unit_is_written_and_the_rest_is_said(
    here: Here, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", here.app / "missing")

    here.install()

    assert here.unit.exists()
    assert here.called() == []
    said = capsys.readouterr().err
    assert f"run `systemctl --user enable {UNIT}` and `systemctl --user start {UNIT}`" in said
    install.uninstall("", here.app / ".slot-machine", Systemd(True))
    assert here.called() == []
    assert not here.unit.exists()


def test_user_who_does_not_linger_is_told(
    here: Here, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here.install()
    assert "loginctl enable-linger" in capsys.readouterr().err

    monkeypatch.setattr(systemd, "lingers", lambda _: True)
    monkeypatch.setattr(install, "lingers", lambda _: True)
    here.install()
    assert "linger" not in capsys.readouterr().err


def test_unit_that_systemd_does_not_take_changes_nothing(here: Here) -> None:
    here.program("systemd-analyze", f'echo "{UNIT}:3: Unknown key"; exit 1')

    with pytest.raises(ServiceFailed, match="Unknown key"):
        here.install()

    assert not here.unit.exists()


def test_complaints_about_other_units_do_not_count(here: Here) -> None:
    here.program("systemd-analyze", 'echo "other.service:3: Unknown key"; exit 1')
    here.install()
    assert here.unit.exists()


def test_failure_of_systemctl_is_told(here: Here) -> None:
    here.program("systemctl", 'test "$2" != enable || { echo no bus; exit 1; }')
    with pytest.raises(ServiceFailed, match=f"`systemctl --user enable {UNIT}` failed: no bus"):
        here.install()


def test_other_app_of_the_same_name_keeps_its_unit(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here.install()
    before = here.unit.read_bytes()
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / "slot-machine.json").write_bytes((here.app / "slot-machine.json").read_bytes())
    monkeypatch.chdir(staging)

    with pytest.raises(ConfigError, match=f"runs the daemon of another app, whose data folder is {here.app}"):
        here.install()

    assert here.unit.read_bytes() == before
    here.install(name="staging")
    assert len(list(here.units.iterdir())) == 2


def test_one_data_folder_has_one_unit(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    here.install(name="first")
    with pytest.raises(ConfigError, match=r"the unit slot-machine-first\.service runs this daemon already"):
        here.install(name="second")
    capsys.readouterr()
    here.install()
    assert capsys.readouterr().out == f"unchanged: {here.units / 'slot-machine-first.service'}\n"


@pytest.mark.parametrize("name", ["../x", "a b", "-x", "x@y", "%n"])
def test_name_that_a_unit_cannot_have(here: Here, name: str) -> None:
    with pytest.raises(ConfigError, match="a unit can't be called"):
        here.install(name=name)


def test_uninstall_stops_and_removes_it_twice(here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    here.install()
    here.called()
    wants = here.units / "default.target.wants"
    wants.mkdir()
    (wants / UNIT).symlink_to(here.unit)
    capsys.readouterr()

    for out in (f"stopped the service and removed {here.unit}\n", f"not installed: {here.unit}\n"):
        install.uninstall("shop", None, Systemd(True))
        assert capsys.readouterr().out == out

    assert here.called() == [f"--user disable --now {UNIT}", "--user daemon-reload"]
    assert not here.unit.exists()
    assert not os.path.lexists(wants / UNIT)


def test_unit_that_somebody_else_wrote_is_not_removed(here: Here) -> None:
    here.units.mkdir(parents=True)
    here.unit.write_text("[Service]\n")
    with pytest.raises(ConfigError, match="slot-machine did not write"):
        install.uninstall("shop", None, Systemd(True))


def test_masked_unit_is_not_overwritten(here: Here) -> None:
    here.units.mkdir(parents=True)
    here.unit.symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="cannot read"):
        here.install()


@pytest.mark.parametrize(("version", "asked"), [("252", False), ("254", True), ("257.4-1", True)])
def test_subgroup_depends_on_the_version_of_systemd(here: Here, version: str, asked: bool) -> None:
    here.program("systemctl", f'echo "systemd {version} ({version})"')
    here.install()
    assert ("DelegateSubgroup=" in here.unit.read_text()) is asked
