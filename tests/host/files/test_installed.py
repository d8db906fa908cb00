"""Folders of installed packages."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.host.files import installed


def node_modules(tree: Path) -> Path:
    folder = tree / "node_modules"
    for name in ("left-pad", "@scope/inner", ".bin", ".cache"):
        (folder / name).mkdir(parents=True)
    (folder / ".package-lock.json").write_text("{}")
    return folder


def environment(tree: Path) -> Path:
    folder = tree / ".venv"
    packages = folder / "lib/python3.11/site-packages"
    (packages / "flask-3.0.dist-info").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text("version = 3.11")
    return folder


def gems(tree: Path) -> Path:
    (tree / "vendor/bundle/ruby/3.3.0/gems/rack-3.0/lib").mkdir(parents=True)
    return tree / "vendor/bundle"


def replace_by_link(folder: Path) -> None:
    folder.rename(folder.with_name("other"))
    folder.symlink_to("other")


def replace_python(folder: Path) -> None:
    (folder / "bin/python").unlink()
    (folder / "bin/python").symlink_to("/bin/sh")


CHANGES: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "pruned": (node_modules, lambda folder: (folder / ".package-lock.json").write_text("{ }")),
    "removed": (node_modules, lambda folder: (folder / "left-pad").rmdir()),
    "added to a scope": (node_modules, lambda folder: (folder / "@scope/more").mkdir()),
    "link": (node_modules, replace_by_link),
    "gone": (node_modules, shutil.rmtree),
    "upgraded": (environment, lambda folder: (folder / "lib/python3.11/site-packages/jinja2-3.dist-info").mkdir()),
    "another python": (environment, replace_python),
    "gem": (gems, lambda folder: (folder / "ruby/3.3.0/gems/rack-3.0").rename(folder / "ruby/3.3.0/gems/rack-3.1")),
}


@pytest.mark.parametrize("case", CHANGES)
def test_change_of_packages_is_seen(tmp_path: Path, case: str) -> None:
    make, change = CHANGES[case]
    folder = make(tmp_path)
    name = str(folder.relative_to(tmp_path))
    known = {name: installed.digest(folder)}
    assert installed.first_change(tmp_path, known, {}) == ""

    change(folder)

    assert installed.first_change(tmp_path, known, {}) == name


def test_what_an_app_writes_into_packages_is_no_change(tmp_path: Path) -> None:
    node, python = node_modules(tmp_path), environment(tmp_path)
    before = installed.digest(node), installed.digest(python)
    (node / ".cache/babel").mkdir()
    (node / "left-pad/index.js").write_text("")
    (python / "lib/python3.11/site-packages/__pycache__").mkdir()

    assert (installed.digest(node), installed.digest(python)) == before


def test_change_of_another_file_that_the_setup_made_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "generated"
    path.write_text("1")
    made = {b"generated": (path.stat().st_size, path.stat().st_mtime_ns)}
    assert installed.first_change(tmp_path, {}, made) == ""

    path.unlink()

    assert installed.first_change(tmp_path, {}, made) == "generated"


def test_copy_shares_no_file(tmp_path: Path) -> None:
    source = node_modules(tmp_path / "one")
    (source / "left-pad/index.js").write_text("code")
    (source / ".bin/pad").symlink_to("../left-pad/index.js")
    target = tmp_path / "two" / "node_modules"
    target.parent.mkdir()

    assert asyncio.run(installed.copy(source, target, "me"))

    assert installed.digest(source) == installed.digest(target)
    assert (target / "left-pad/index.js").stat().st_nlink == 1
    assert os.readlink(target / ".bin/pad") == "../left-pad/index.js"
    assert (target / ".package-lock.json").stat().st_mtime_ns == (source / ".package-lock.json").stat().st_mtime_ns


def test_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    assert not asyncio.run(installed.copy(tmp_path / "missing", tmp_path / "node_modules", "me"))
    assert list(tmp_path.iterdir()) == []


def test_copy_that_takes_too_long_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "COPY", "mkdir $1; exec sleep 600")
    monkeypatch.setattr(installed, "COPY_LIMIT_S", 0.1)

    assert not asyncio.run(installed.copy(tmp_path, tmp_path / "node_modules", "me"))
    assert list(tmp_path.iterdir()) == []


def test_all_that_was_written_reaches_the_disk(tmp_path: Path) -> None:
    installed.reach_the_disk(tmp_path)
    with pytest.raises(OSError, match="missing"):
        installed.reach_the_disk(tmp_path / "missing")
