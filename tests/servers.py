"""Servers that a fake `ssh` on the PATH reaches: each is a folder, in which a shell runs what it is told."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from spec.orchestrator import environment

from slot_machine.cli.main import main
from tests.repository import Repository

SSH = """#!/bin/sh
echo "$*" >> "$SERVERS/calls"
log=/dev/stderr
while :; do
    case $1 in
    -E) log=$2; shift 2 ;;
    -O) test ! -e "$SERVERS/lost"; exit ;;
    -G) cat "$SERVERS/config"; exit ;;
    -o | -p) shift 2 ;;
    -t | -T) shift ;;
    --) shift; break ;;
    *) break ;;
    esac
done
host=${1#*@}; shift
if test -e "$SERVERS/$host/refuses"; then cat "$SERVERS/$host/refuses" > "$log"; exit 255; fi
cd "$SERVERS/$host" && PATH="$SERVERS/$host/bin:/usr/bin:/bin" exec /bin/sh -c "$*"
"""

APP = """
case "$*" in
*status*) echo "{\\"repo\\": \\"$PWD/repo.git\\", \\"repo_user\\": \\"deploy\\"}"; exit 3 ;;
*rollback*|*abort*) cat back; exit 0 ;;
esac
for commit; do :; done
test -e fails && { cat fails; exit 1; }
git -C repo.git cat-file -e "$commit" || { cat lacks; exit 1; }
echo '{"event": "started", "stage": "start", "message": "here", "seconds": 0}'
echo '{"event": "finished", "stage": "start", "message": "", "seconds": 1.5}'
printf '{"success": true, "slot": "a", "commit": "%s", "previous_commit": "%s", "warnings": []%s}\\n' \\
    "$commit" "$(cat previous)" "$(cat more)"
"""
"""A slot-machine that keeps nothing, but looks for the commit in a repository."""

FAILS = '{"success": false, "stage": "health", "error": "no answer", "hint": "look"}\n'
LACKS = '{"success": false, "stage": "resolve", "error": "no commit", "hint": "", "lacks_commit": true}\n'


class Servers:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        (folder / "bin").mkdir(parents=True)
        self._program(folder / "bin" / "ssh", SSH)
        (folder / "config").write_text("user deploy\n")
        monkeypatch.setenv("SERVERS", str(folder))
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")

    def add(self, host: str, script: str) -> None:
        """`script` is its slot-machine, whose words are those that `asked` returns."""
        (self.folder / host / "bin").mkdir(parents=True)
        told = """printf '[%s]' "$@" >> "$PWD/asked"; echo >> "$PWD/asked"\n"""
        self._program(self.folder / host / "bin" / "slot-machine", f"#!/bin/sh\n{told}{script}")

    def add_app(self, host: str) -> None:
        """With a repository of its own, which is empty."""
        self.add(host, APP)
        folder = self.folder / host
        repo = folder / "repo.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--template=", repo], env=environment(), check=True)
        subprocess.run(["git", "-C", repo, "config", "transfer.hideRefs", "refs/slot-machine"], check=True)
        for name, text in {"previous": "c0ffee", "more": "", "back": '{"success": true}', "lacks": LACKS}.items():
            (folder / name).write_text(text)

    def refuse(self, host: str, why: str) -> None:
        (self.folder / host).mkdir(exist_ok=True)
        (self.folder / host / "refuses").write_text(why)

    def run(self, *words: str) -> int:
        """Of slot-machine, in this process. Returns the exit code."""
        self._monkeypatch.setattr(sys, "argv", ["slot-machine", *words])
        with pytest.raises(SystemExit) as exited:
            main()
        assert isinstance(exited.value.code, int | None)
        return exited.value.code or 0

    def asked(self, host: str) -> list[str]:
        """Each word in brackets."""
        path = self.folder / host / "asked"
        return path.read_text().splitlines() if path.exists() else []

    def calls(self) -> list[str]:
        """Of ssh."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def _program(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def head(repository: Repository) -> str:
    return repository.git("rev-parse", "HEAD")


def copy(repository: Repository, servers: Servers, host: str) -> None:
    """The commit comes to the server, but not by `deploy`."""
    repository.git("push", "--quiet", str(servers.folder / host / "repo.git"), "main")
