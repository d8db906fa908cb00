"""Which program, user and PATH a unit names."""

import os
import sys
from pathlib import Path

import pytest

from slot_machine.cli.service import place
from slot_machine.core.errors import ConfigError
from slot_machine.host.user import account
from slot_machine.host.user.rights import Account


def program(path: Path, leads_to: Path | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if leads_to:
        path.symlink_to(leads_to)
    else:
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return path


def test_link_on_the_path_is_named_and_not_what_it_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = program(tmp_path / "tools/slot-machine-1.2/bin/slot-machine")
    link = program(tmp_path / "bin/slot-machine", real)
    monkeypatch.setenv("PATH", f"{real.parent}:{link.parent}")

    for called in (link, real, "slot-machine"):
        monkeypatch.setattr(sys, "argv", [str(called), "install"])
        assert place.executable() == (link, True)


def test_program_that_bears_a_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = program(tmp_path / "versions/3.11.7/bin/slot-machine")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(sys, "argv", [str(real), "install"])

    assert place.executable() == (real, False)


def test_program_of_another_name_on_the_path_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = program(tmp_path / "venv/bin/slot-machine"), program(tmp_path / "bin/slot-machine")
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setattr(sys, "argv", [str(ours), "install"])

    assert place.executable() == (ours, True)


def test_folder_of_the_path_that_can_not_be_read_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = program(tmp_path / "bin/slot-machine")
    monkeypatch.setenv("PATH", f"/closed:{ours.parent}")
    monkeypatch.setattr(sys, "argv", ["slot-machine", "install"])
    stat = os.stat

    def denied(path: "str | Path", *, follow_symlinks: bool = True) -> os.stat_result:
        if str(path).startswith("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", denied)
    assert place.executable() == (ours, True)


@pytest.mark.parametrize(
    ("asked", "of_config", "user"),
    [("", "", "OWNER"), ("www", "", "www"), ("", "app", "root"), ("root", "app", "root"), ("app", "app", "root")],
)
def test_user(tmp_path: Path, asked: str, of_config: str, user: str) -> None:
    owner = account.name(tmp_path.stat().st_uid)
    assert place.user_of(asked, of_config, tmp_path) == user.replace("OWNER", owner)


def test_user_that_the_configuration_excludes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--user www does not go with the field `user`: app"):
        place.user_of("www", "app", tmp_path)


def test_path_of_this_shell_without_the_virtual_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    us = Account(os.geteuid(), os.getegid(), (), "us", str(tmp_path), "/bin/sh")
    venv, node = tmp_path / "venv/bin", tmp_path / "node/bin"
    for folder in (venv, node):
        folder.mkdir(parents=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(venv.parent))
    monkeypatch.setenv("PATH", f"{venv}:{node}:relative:{tmp_path / 'gone'}:/usr/bin:{node}")

    folders = place.path_for(us, Path("/opt/bin/slot-machine")).split(":")

    assert folders[:2] == [str(node), "/usr/bin"]
    assert folders[-1] == "/opt/bin"
    assert len(folders) == len(set(folders))


def test_path_of_another_user_is_the_standard_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".local/bin").mkdir(parents=True)
    monkeypatch.setenv("PATH", "/only/of/this/shell:/bin")
    other = Account(os.geteuid() + 1, 1, (), "other", str(tmp_path), "/bin/sh")

    path = place.path_for(other, Path("/usr/local/bin/slot-machine"))

    assert path == f"{tmp_path}/.local/bin:" + ":".join(place.STANDARD_PATH)
