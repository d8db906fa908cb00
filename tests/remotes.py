"""A remote and a clone of it, and an ssh of the test's own between them."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from spec.orchestrator import environment

from slot_machine.core.errors import GitFailed
from slot_machine.host.git.remote import Remote
from tests.repository import Repository


class Both:
    """A remote, and a clone of it where somebody works."""

    def __init__(self, folder: Path) -> None:
        (folder / "there").mkdir()
        self.there = Repository(folder / "there")
        self.first = self.there.commit({"app": "1"})
        here = folder / "here"
        subprocess.run(
            ["git", "clone", "--quiet", str(self.there.path), str(here / "repo")], check=True, env=environment()
        )
        (here / "data").mkdir()
        self.here = Repository(here, new=False)

    def remote(self, remote: str = "origin", branch: str = "main", silence_s: float = 20) -> Remote:
        return Remote(self.here.path, self.here.path.parent / "data", remote, branch, silence_s)

    def tip(self, remote: str = "origin", branch: str = "main", silence_s: float = 20) -> str:
        return asyncio.run(self.remote(remote, branch, silence_s).tip())


def ssh(both: Both, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """In place of the system's. What it was called with is in the file that this returns."""
    folder = both.here.path.parent / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{script}\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    both.here.git("remote", "set-url", "origin", "git@example.com:shop.git")
    return folder / "asked"


def failure(both: Both, remote: str = "origin", branch: str = "main", silence_s: float = 20) -> GitFailed:
    with pytest.raises(GitFailed) as caught:
        both.tip(remote, branch, silence_s)
    return caught.value
