"""Which Traefik runs: one that is too old is refused, also if it is the first on the PATH."""

import sysconfig
from pathlib import Path

import pytest

from slot_machine.core.errors import StartRefused
from slot_machine.edge import binary


@pytest.fixture
def bins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders of programs: one on the PATH, and that of this Python."""
    for name in ("path", "python"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "python"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python" / "python"))
    return tmp_path / "path", tmp_path / "python"


def install(folder: Path, says: str) -> Path:
    program = folder / "traefik"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", ["3.7.11", "v3.6.20", "2.11.40", "dev"])
def test_an_old_or_unknown_one_is_refused(bins: tuple[Path, Path], version: str) -> None:
    program = install(bins[0], f"echo 'Version:      {version}'")
    with pytest.raises(StartRefused) as refused:
        binary.find()
    assert str(refused.value).startswith(f"{program} is Traefik ")
    assert str(refused.value).endswith(": the edge needs 3.7.12")
    assert "put a newer Traefik on the PATH" in refused.value.hint


@pytest.mark.parametrize("says", ["exit 1", "printf '\\377'", "true"])
def test_one_that_does_not_tell_its_version_is_refused(bins: tuple[Path, Path], says: str) -> None:
    install(bins[0], says)
    with pytest.raises(StartRefused, match="is Traefik of an unknown version"):
        binary.find()


@pytest.mark.parametrize("version", ["3.7.12", "v3.10.0", "4.0.0"])
def test_a_new_one_is_taken(bins: tuple[Path, Path], version: str) -> None:
    program = install(bins[0], f"echo 'Version:      {version}'")
    assert binary.find() == (program, version.removeprefix("v"))


def test_an_old_one_on_the_path_does_not_hide_the_one_of_this_python(bins: tuple[Path, Path]) -> None:
    install(bins[0], "echo 'Version: 3.1.0'")
    program = install(bins[1], "echo 'Version: 3.7.15'")
    assert binary.find() == (program, "3.7.15")


def test_none_at_all(bins: tuple[Path, Path]) -> None:
    assert bins
    with pytest.raises(StartRefused, match="there is no Traefik on this machine"):
        binary.find()
