"""Why a version did not boot: the error, and what the operator can do about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slot_machine.app.run import Run
from slot_machine.core.errors import PortTaken, StageFailed
from slot_machine.core.phases import Phase
from slot_machine.host.files.kept import in_words
from slot_machine.host.logs import SlotLog
from slot_machine.host.network import ports
from slot_machine.host.network.health import Unhealthy
from slot_machine.host.network.listeners import Foreign
from slot_machine.host.network.probe import REDIRECTS, Answer, Probe
from slot_machine.host.process import env_example
from slot_machine.host.process.exits import describe_exit

IN_USE = re.compile(r"addr(ess)?[ _]?(is )?(already )?in[ _]?use|(port|connection) .*in use", re.IGNORECASE)
"""A line in which an app complains that it can't have its port."""
NUMBER = re.compile(r"\d+")
LIKE_A_PORT = re.compile(r"(?<![\d.-])\d{4,5}(?![\d-])")
"""A number that is no part of a date or of an IPv4 address."""

PID_FILE = re.compile(r"already (running|exists?)\b.*\bpid|\bpid ?file\b.*already (running|exists?)", re.IGNORECASE)
"""A line in which a server complains of a file with the pid of another run."""

HOSTS_ONLY = "if the app answers certain hosts only, set health_host to one of them"
MORE_TIME = "raise health_timeout_ms if the app needs more time to start"
OWN_PID_FILE = (
    "a file with the pid of another run is in the way, such as of the live version during a restart: let start_command"
    " write none, such as by `--pid /dev/null`; `slot-machine deploy --force` starts the app in another folder"
)
READ_PORT = "let the app listen on $PORT"


@dataclass(frozen=True)
class Boot:
    """A start of a version in `folder`, with the environment that it got. `our_ports` are those of slot-machine."""

    run: Run
    log: SlotLog
    folder: Path
    env: Mapping[str, str]
    our_ports: frozenset[int]

    def exited(self, code: int) -> StageFailed:
        """For an app that exited while it booted. PortTaken if another program has its port."""
        output = self.log.tail()
        message, hint = f"the app exited while it booted: {describe_exit(code)}", ""
        if code == 0:
            hint = "start_command must stay in the foreground"
        if foreign := self._foreign():
            return PortTaken(Phase.HEALTH, f"{message}; {foreign}", output, self._hints(foreign.hint))
        if taken := self._taken(output):
            message, hint = f"{message}; {taken}", READ_PORT
        elif any(map(PID_FILE.search, output)):
            hint = OWN_PID_FILE
        return self._failed(message, output, hint)

    def unhealthy(self, error: Unhealthy, probe: Probe) -> StageFailed:
        """For an app that still runs, and did not become healthy in time."""
        output = self.log.tail(without=_naming(probe.endpoint))
        message, hint = str(error), _advice(error.answer, probe)
        if error.missing and (foreign := self._foreign()):
            message, hint = f"{message}; {foreign}", foreign.hint
        elif error.missing and (found := self._elsewhere(error.missing) or self._taken(output)):
            message, hint = f"{message}; {found}", READ_PORT
        return self._failed(message, output, hint)

    def _failed(self, message: str, output: tuple[str, ...], hint: str) -> StageFailed:
        return StageFailed(Phase.HEALTH, message, output, self._hints(hint))

    def _hints(self, first: str) -> str:
        return "; ".join(filter(None, [first, self._unset(), f"its output is in {self.log.path}"]))

    def _foreign(self) -> Foreign | None:
        """Another program's socket on a port of the run, whether it listens or is only bound."""
        try:
            for port in (self.run.port, self.run.internal_port):
                for host in ports.HOSTS:
                    self.run.listeners.at(host, port, ports.HELD)
        except Foreign as foreign:
            return foreign
        return None

    def _taken(self, output: tuple[str, ...]) -> str:
        """For an app that asked for a port that it was not given, and could not have it. Empty else."""
        complaints = [line for line in output if IN_USE.search(line)]
        named = {int(number) for line in complaints for number in NUMBER.findall(line)}
        if not complaints or named & {self.run.port, self.run.internal_port}:
            return ""
        must = f"the app must listen on $PORT, which is {self.run.port}"
        for port in sorted(named & self.our_ports):
            return f"slot-machine itself holds port {port}: {must}"
        for port in (int(number) for line in complaints for number in LIKE_A_PORT.findall(line)):
            if by := ports.used_by(port):
                return f"port {port} is held by {by}: {must}"
        own = " and ".join(map(str, sorted(self.our_ports)))
        return f"the port that it asked for is in use, and slot-machine itself holds {own}: {must}"

    def _elsewhere(self, missing: tuple[int, ...]) -> str:
        """Where the app listens, if not on the ports that are missing. Empty if it listens nowhere."""
        wanted = " and ".join(map(str, missing))
        found = {(socket.port, str(socket.host)) for socket in self.run.listeners.own()}
        if hosts := sorted(host for port, host in found if port in missing):
            return f"the app listens on {wanted} at {', '.join(hosts)} only, and must do so on 127.0.0.1 or ::1"
        others = sorted({port for port, _ in found} - {self.run.port, self.run.internal_port})
        return f"the app listens on {', '.join(map(str, others))}, not on {wanted}" if others else ""

    def _unset(self) -> str:
        example, names = env_example.unset(self.folder, self.env)
        return f"not set, but in {example}: {in_words(names)}" if names else ""


def _advice(answer: Answer | None, probe: Probe) -> str:
    """Names the field that helps with a wrong answer."""
    path = f"set health_endpoint to a path that is answered with {probe.expected}"
    match answer:
        case None | Answer(healthy=True) | Answer(status=0 | 503):
            return MORE_TIME
        case Answer(elsewhere="https"):
            return f"the app forces HTTPS: let it trust the check's X-Forwarded-Proto: https, or {path}"
        case Answer(status=status) if status in REDIRECTS and answer.elsewhere:
            return f"set health_host to {answer.elsewhere} if the app answers that host only, or {path}"
        case Answer(status=status) if status in REDIRECTS:
            return f'{path}, or health_status to "200-399" if a redirect is a healthy answer'
        case Answer(status=400 | 403 | 421):
            return f"{HOSTS_ONLY}; else {path}"
        case Answer(status=status) if 400 <= status < 500:
            return path
        case Answer(status=status) if status < 400:
            return f"set health_status to {status} if that is a healthy answer"
    return ""


def _naming(endpoint: str) -> re.Pattern[str]:
    """Matches a line of an access log that names the endpoint, with or without host and port.

    For instance `"GET /healthz HTTP/1.1" 503`.
    """
    return re.compile(rf"""(^|[\s"'=:([]|:\d+){re.escape(endpoint)}($|[\s"',;)\]?&#])""")
