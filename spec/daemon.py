import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .orchestrator import environment
from .processes import inheritors
from .waiting import wait_until
from .web import Body, Reply, answers, call

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


MARK = "SPEC_DAEMON"
"""A variable in the environment of a daemon and of all that it starts. It identifies processes that are left behind."""


class Version(NamedTuple):
    slot: str
    commit: str


NOTHING = Version("", "")


class Status(NamedTuple):
    live: Version
    previous: Version
    last_deploy_time: str
    healthy: bool


class Daemon:
    """A process that runs `start`, in a session of its own."""

    def __init__(self, command: Sequence[str | Path], cwd: Path, api_port: int, log: Path) -> None:
        self.api_port = api_port
        self.log = log
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment() | {MARK: str(log)},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        wait_until("the daemon answers GET /", lambda: self._exited() or answers(self.api_port, "/"))
        assert not self._exited(), f"the daemon exited while starting:\n{self.log.read_text(errors='replace')}"

    def deploy(self, commit: str) -> Reply:
        return call(self.api_port, "POST", "/deploy", {"commit": commit})

    def must_deploy(self, commit: str) -> Reply:
        reply = self.deploy(commit)
        assert reply.status == 200, reply
        return reply

    def rollback(self) -> Reply:
        return call(self.api_port, "POST", "/rollback")

    def status(self) -> Status:
        reply = call(self.api_port, "GET", "/status")
        assert reply.status == 200, reply
        time = _text(reply.body, "last_deploy_time")
        assert time == "" or RFC_3339.fullmatch(time), f"last_deploy_time is not RFC 3339: {time}"
        healthy = reply.body.get("healthy")
        assert isinstance(healthy, bool), f"healthy is not a boolean: {reply.body}"
        return Status(
            live=Version(_text(reply.body, "live_slot"), _text(reply.body, "live_commit")),
            previous=Version(_text(reply.body, "previous_slot"), _text(reply.body, "previous_commit")),
            last_deploy_time=time,
            healthy=healthy,
        )

    def stop(self) -> int:
        """Sends SIGTERM, then SIGKILL to what is left of its process group. Returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                wait_until("the daemon exits after SIGTERM", self._exited)
            finally:
                # The process is not reaped yet, so no other process group can have its id.
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return self.process.returncode

    def kill_leftovers(self) -> None:
        while leftovers := list(inheritors(MARK, str(self.log))):
            for process in leftovers:
                process.kill()

    def _exited(self) -> bool:
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _text(body: Body, field: str) -> str:
    value = body.get(field)
    assert isinstance(value, str), f"{field} is missing or no string: {body}"
    return value
