"""Three apps on one machine, two of them checkouts of one repository, and the commands as their owner types them."""

import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from demo.load import Load
from spec.waiting import wait_until

import slot_machine
from tests.shown import on_terminal
from tests.world import Site, installed

COLUMNS = 80
VISITORS = (("GET", "/slow", True), ("GET", "/slow", False), ("POST", "/slow", False))
"""They ask all day, and some request is in flight at each moment."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
FIT = ("status", "history", "show", "list", "stats", "top")
"""What these commands print fits the terminal."""
READERS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("history",),
    ("show",),
    ("list",),
    ("logs", "-n", "50"),
    ("stats",),
    ("top", "--once", "--interval", "0.2"),
)
JSON_READERS = (
    ("status",),
    ("history",),
    ("history", "--jobs"),
    ("show",),
    ("show", "1"),
    ("list",),
    ("env", "list"),
    ("stats",),
    ("top",),
    ("doctor",),
)
REFUSED = (
    (("show", "999", "--json"), 1),
    (("rollback", "999", "--json"), 1),
    (("deploy", "no-such-branch", "--json"), 1),
    (("status", "--json", "-a", "no-such-app"), 1),
    (("env", "get", "NO_SUCH_NAME", "--json"), 1),
    (("logs", "--json", "--since", "yesterday"), 2),
    (("history", "--json", "-n", "none"), 2),
    (("stats", "--json", "--colour"), 2),
)


def width(line: str) -> int:
    """In columns of a terminal."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)


class Tenant(Site):
    """One of the apps."""

    def do(self, *words: str, code: int = 0) -> str:
        """Runs a command in the app's folder, in a pipe. Returns what it printed to stdout."""
        done = self.run(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "\x1b" not in done.stdout + done.stderr, words
        assert "Traceback" not in done.stderr, done.stderr
        if words[0] in FIT and "--json" not in words:
            assert [line for line in done.stdout.splitlines() if width(line) > COLUMNS] == []
        if code and "--json" not in words and words[0] != "status":
            assert done.stdout == "", "stdout has results only"
            assert "error: " in done.stderr
        return done.stdout

    def see(self, *words: str, code: int = 0, **variables: str) -> str:
        """Runs it on a terminal of 80 columns. Returns what that shows; with `--json`, what it shows of stdout."""
        exit_code, got = on_terminal(
            self.orchestrator.binary,
            *words,
            cwd=self.repo,
            columns=COLUMNS,
            variables={"TERM": "xterm"} | variables,
            stderr=subprocess.DEVNULL if "--json" in words else None,
        )
        text = got.decode()
        assert exit_code == code, f"{words}: {exit_code}\n{text}"
        if "NO_COLOR" in variables or "--json" in words:
            assert "\x1b" not in text, words
        lines = ESCAPES.sub("", text).splitlines()
        assert words[0] not in FIT or "--json" in words or all(width(line) <= COLUMNS for line in lines), text
        return text

    def told(self, *words: str, code: int = 0) -> dict[str, object]:
        """What it tells a program."""
        found = json.loads(self.do(*words, "--json", code=code))
        assert isinstance(found, dict)
        return found

    def kinds(self) -> list[object]:
        return [row["kind"] for row in self.history()]

    def app_pid(self) -> int:
        return int(self.get("/pid")[1])

    def settle(self, own: Mapping[str, object]) -> object:
        """Writes the configuration: what `init` proposes, with ports and these settings. Returns the proposed name."""
        proposed = self.told("init")["config"]
        assert isinstance(proposed, dict)
        self.config = proposed | {"port": self.port, "api_port": self.api_port} | dict(own)
        return proposed["name"]

    def pull(self, other: Site) -> None:
        """Makes it a checkout of the other one's repository, with its latest commit."""
        (self.repo / ".gitignore").unlink(missing_ok=True)
        self.git("fetch", "--quiet", str(other.repo), "main")
        self.git("reset", "--quiet", "--hard", "FETCH_HEAD")

    def variable(self, name: str) -> object:
        """What the live app has in its environment; None if there is none."""
        return json.loads(self.get("/env")[1]).get(name)

    def look_around(self) -> None:
        """Reads all that can be read, in each way."""
        for words in READERS:
            assert self.do(*words)
            self.see(*words)
            self.see(*words, NO_COLOR="1")
        for words in JSON_READERS:
            json.loads(self.see(*words, "--json", code=self._code(words[0])))
        for line in self.see("logs", "-n", "20", "--json").splitlines():
            json.loads(line)
        for refused, code in REFUSED:
            refusal = json.loads(self.see(*refused, code=code))
            assert (refusal["success"], bool(refusal["error"])) == (False, True), refused

    def _code(self, command: str) -> int:
        """`doctor` finds that something is wrong on some machines, where the tests run."""
        if command == "env":
            return 0 if self.config.get("env_file") else 1
        return self.run("doctor").returncode if command == "doctor" else 0


class Machine:
    """Its installation of slot-machine and its registry are its own, so that no other daemon is seen or reloaded."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._packages = folder / "packages"
        (folder / "run").mkdir(mode=0o700)
        monkeypatch.setenv("PYTHONPATH", str(self._packages))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        monkeypatch.delenv("NO_COLOR", raising=False)
        self.install(slot_machine.__version__)
        self.shop, self.staging, self.blog = self.tenants = [
            self._tenant(name) for name in ("production", "staging", "blog")
        ]

    def install(self, version: str) -> None:
        """As an installer does it: the files of the earlier version are gone, those of the new one are there."""
        new = self.folder / "new"
        shutil.copytree(Path(slot_machine.__file__).parent, new, ignore=shutil.ignore_patterns("__pycache__"))
        _replace(new / "__init__.py", re.escape(slot_machine.__version__), version)
        _replace(new / "host" / "registry.py", r'"/(run|tmp)/', f'"{self.folder}/run/')
        self._packages.mkdir(exist_ok=True)
        shutil.rmtree(self._packages / "slot_machine", ignore_errors=True)
        new.rename(self._packages / "slot_machine")

    @contextmanager
    def visited(self, *, failing: tuple[Tenant, ...] = ()) -> Iterator[Mapping[Tenant, Load]]:
        """All apps have visitors meanwhile, and no request fails but those to `failing`."""
        loads = {tenant: Load(tenant.port, VISITORS) for tenant in self.tenants}
        with ExitStack() as stack:
            for load in loads.values():
                stack.enter_context(load.running())
            yield loads
            kept = {tenant: load for tenant, load in loads.items() if tenant not in failing}
            for load in kept.values():
                wait_until("its visitors go on", partial(load.reached, load.answers.total() + 6))
        assert {tenant.folder.name: load.failures for tenant, load in kept.items() if load.failures} == {}

    def lose_power(self) -> None:
        """Everything of all apps ends at once, and the registry, which is in memory, is gone."""
        for tenant in self.tenants:
            daemon = tenant.daemons[-1].process
            daemon.kill()
            daemon.wait()
        for tenant in self.tenants:
            tenant.daemons[-1].kill_leftovers()
        shutil.rmtree(self.folder / "run")
        (self.folder / "run").mkdir(mode=0o700)

    def close(self) -> None:
        for tenant in self.tenants:
            tenant.close()

    def _tenant(self, name: str) -> Tenant:
        folder = self.folder / name
        folder.mkdir()
        return Tenant(installed(), folder)


def _replace(path: Path, pattern: str, text: str) -> None:
    new, number = re.subn(pattern, text, path.read_text())
    assert number, f"{path.name} has no {pattern}"
    path.write_text(new)
