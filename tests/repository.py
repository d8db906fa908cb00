"""A repository without a daemon, and the worktrees of it."""

import asyncio
import os
import subprocess
from pathlib import Path

from spec.orchestrator import environment

from slot_machine.host.git.worktrees import Worktrees


class Repository:
    def __init__(self, folder: Path, *, new: bool = True) -> None:
        self.path = folder / "repo"
        self.slot = folder / "data" / "tree-1"
        if new:
            self.path.mkdir()
            (folder / "data").mkdir()
            self.git("init", "--quiet", "--initial-branch", "main")
        self.worktrees = Worktrees(self.path, folder / "data")

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.path, env=environment(), check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str]) -> str:
        """A commit of these files and no others."""
        self.git("rm", "-rfq", "--ignore-unmatch", ".")
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "files")
        return self.git("rev-parse", "HEAD")

    def checkout(self, commit: str) -> None:
        asyncio.run(self.worktrees.checkout(1, commit))

    def leave(self, *names: str) -> None:
        for name in names:
            (self.slot / name).parent.mkdir(parents=True, exist_ok=True)
            (self.slot / name).write_text("left")

    def left(self) -> set[str]:
        return {str(path.relative_to(self.slot)) for path in self.slot.rglob("*") if path.is_file()} - {".git"}


def nest(folder: Path, depth: int, name: str = "x" * 200) -> None:
    """Folders in folders, and a file in the innermost."""
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
