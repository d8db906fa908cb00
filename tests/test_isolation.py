"""Python programs of ours import nothing from the folders in which an app, a commit or a user may put a file."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.test_deploy_failures import MODES
from tests.world import Site

NAMES = ("json", "msgspec", "re", "sitecustomize", "slot_machine", "socket", "usercustomize", "uvloop")


def plant(folder: Path, marks: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(marks)!r}, 'a').write(__file__ + '\\n')\n")


@MODES
def test_modules_that_lie_about(site: Site, options: tuple[str, ...]) -> None:
    marks = site.folder / "marks"
    for folder in (site.repo, site.data, site.folder / "elsewhere"):
        plant(folder, marks)
    elsewhere = site.folder / "elsewhere"
    startup = elsewhere / "uvloop.py"
    (site.repo / "env").write_text(
        f"PYTHONPATH={elsewhere}\nPYTHONSTARTUP={startup}\nPYTHONINSPECT=1\nPYTHONHOME=/none\n"
    )

    site.start(*options, env_file="env")
    site.commit("one")
    for command in ("deploy", "reload", "status"):
        assert site.run(command).returncode == 0

    assert site.serving() == "one"
    assert not marks.exists(), marks.read_text()


def test_empty_entry_of_pythonpath_is_no_folder_of_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `PYTHONPATH="$PYTHONPATH:/lib"` often has it: Python takes it for the current folder."""
    marks = site.folder / "marks"
    plant(site.data, marks)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}/nowhere")

    site.start()

    assert not marks.exists(), marks.read_text()


def test_daemon_that_runs_as_a_module_leaves_its_folder_out_once_it_is_reloaded(site: Site) -> None:
    marks = site.folder / "marks"
    code = f'shift; exec {shlex.quote(sys.executable)} -m slot_machine "$@"'
    site.prefix = ("/bin/sh", "-c", code, "sh")
    site.start()
    plant(site.repo, marks)

    done = site.run("reload")

    assert done.returncode == 0, done.stderr
    assert not marks.exists(), marks.read_text()
