"""Pushes to a daemon of root whose app, and repository, are another user's."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.another_user import AnothersSite
from tests.users import NUMBERED, PACKAGES, PYTHON, STRANGER, needs_root, public_folder
from tests.world import APP

pytestmark = needs_root

PROGRAM = f"#!{PYTHON}\nfrom slot_machine.__main__ import main\nmain()\n"


class Office:
    """`work` is a clone of the repository, of the user."""

    def __init__(self, folder: Path) -> None:
        self.site = AnothersSite(folder, NUMBERED, int(NUMBERED))
        self.site.commit("one")
        self.program = folder / "slot-machine"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.work = folder / "work"
        self.work.mkdir()
        os.chown(self.work, self.site.uid, self.site.uid)

    def begin(self, **config: bool) -> None:
        self.site.start(**config)
        for argv in ([str(self.program), "init", "--push"], ["git", "clone", "--quiet", ".", str(self.work)]):
            done = self.run(*argv, cwd=self.site.repo)
            assert done.returncode == 0, done.stderr

    def run(self, *argv: str, uid: int = 0, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """As the user, or as another one."""
        return subprocess.run(
            argv,
            cwd=cwd or self.work,
            env=environment() | {"HOME": "/", "PYTHONPATH": ":".join(PACKAGES)},
            user=uid or self.site.uid,
            group=uid or self.site.uid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )

    def push(self, version: str) -> tuple[int, str]:
        """The exit code, and what the pusher sees."""
        text = json.dumps({"version": version})
        script = f"cp {APP} app.py && printf '%s' '{text}' > behaviour.json && git add -A && git commit -qm {version}"
        done = self.run("sh", "-c", f"{script} && git push origin HEAD")
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def office() -> Iterator[Office]:
    with public_folder() as folder:
        office = Office(folder)
        yield office
        office.site.close()


def test_the_user_may_push_and_nothing_else(office: Office) -> None:
    site = office.site
    office.begin(push_as_user=True)
    code, said = office.push("two")
    assert (code, "is live in slot" in said) == (0, True), said
    assert site.serving() == "two"
    (attempt,) = site.history()
    assert (attempt["trigger"], attempt["who"]) == ("push", f"user {NUMBERED}")
    assert [path for path in (site.repo / ".git").rglob("*") if path.lstat().st_uid != site.uid] == []

    live = site.status()["live_commit"]
    for words in (["deploy", "HEAD"], ["rollback"], ["restart"]):
        done = office.run(str(office.program), *words, cwd=site.repo)
        assert (done.returncode, "only root may change anything here" in done.stderr) == (1, True), done.stderr
    push = {"updates": [{"ref": "refs/heads/main", "old": live, "new": live}]}
    url = f"http://127.0.0.1:{site.api_port}/push"
    for more in ([], ["-H", "X-Forwarded-For: 192.0.2.1"]):
        uid = 0 if more else STRANGER
        told = office.run("curl", "-s", *more, "-d", json.dumps(push), url, uid=uid, cwd=Path("/")).stdout
        assert "only root may change anything here" in told, "another user, and what somebody passed on"
    assert len(site.history()) == 1


def test_a_user_who_may_not_push_is_told_what_to_do(office: Office) -> None:
    office.begin()
    code, said = office.push("two")
    assert (code, "set `push_as_user`" in said) == (1, True), said
    wait_until("nothing runs", lambda: not office.site.status()["running"])
    assert office.site.history() == []
