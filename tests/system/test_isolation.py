"""Python programs of ours import nothing from the folders in which an app, a commit or a user may put a file."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.world import MODES, Site

NAMES = ("json", "msgspec", "re", "sitecustomize", "slot_machine", "socket", "usercustomize", "uvloop")


def plant(folder: Path, marks: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(marks)!r}, 'a').write(__file__ + '\\n')\n")


@MODES
def test_modules_that_lie_about(site: Site, options: tuple[str, ...]) -> None:
    """The daemon itself runs with -m, by which Python takes modules from the current folder, until it is reloaded."""
    marks, elsewhere = site.folder / "marks", site.folder / "elsewhere"
    plant(site.data, marks)
    (site.data / "daemon.lock").touch()
    plant(elsewhere, marks)
    startup = elsewhere / "uvloop.py"
    (site.repo / "env").write_text(
        f"PYTHONPATH={elsewhere}\nPYTHONSTARTUP={startup}\nPYTHONINSPECT=1\nPYTHONHOME=/none\n"
    )

    site.prefix = ("/bin/sh", "-c", f'shift; exec {shlex.quote(sys.executable)} -m slot_machine "$@"', "sh")
    site.start(*options, env_file="env")
    plant(site.repo, marks)
    site.commit("one")
    for command in ("deploy", "reload", "status"):
        assert site.run(command).returncode == 0

    assert site.serving() == "one"
    assert not marks.exists(), marks.read_text()


def test_empty_entry_of_pythonpath_is_no_folder_of_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `PYTHONPATH="$PYTHONPATH:/lib"` often has it: Python takes it for the current folder."""
    marks = site.folder / "marks"
    plant(site.data, marks)
    (site.data / "daemon.lock").touch()
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}/nowhere")

    site.start()

    assert not marks.exists(), marks.read_text()
