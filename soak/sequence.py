"""A random sequence of deploys, rollbacks and reloads. Most are disturbed. The state is checked after each."""

import http.client
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from spec.orchestrator import environment
from spec.waiting import wait_until
from tests.world import Site

from soak import checks, project, trouble
from soak.actions import ACTIONS, DISTURBANCES, FAULTS
from soak.checks import Expected
from soak.kills import Killer
from soak.load import Load
from soak.project import STAGES, Fault, Version

LATEST_S = 1.5
SETTLED_WITHIN_S = 90
PAGES = 3
"""Pages of the live version and of those before it ask for their scripts. At a switch, both versions serve them."""


class Sequence:
    """`outcomes` counts steps by action and outcome. `problems` describes what went wrong."""

    def __init__(self, site: Site, load: Load, rng: random.Random, say: Callable[[str], None]) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.settings: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.problems: list[str] = []
        self.checks_passed = 0
        self.attacks_held = 0
        self.starts_s: list[float] = []
        self.killer = Killer(site, rng)
        self._site = site
        self._load = load
        self._rng = rng
        self._say = say
        self._number = 0
        self._versions: dict[str, Version] = {}
        self._live = ""
        self._previous = ""
        self._were_live: list[str] = []
        """Names of versions, the live one first, each once."""

    def begin(self) -> None:
        project.configure(self._site, self._rng)
        self._start()
        for _ in range(2):
            version = self._commit("deploy")
            assert self._site.run("deploy").returncode == 0
            self._went_live(version.commit)
        self._load.expect(version.name)
        self._check("begin")

    def step(self) -> None:
        """Runs one action with at most one disturbance, and waits until the daemon is at rest again."""
        self._number += 1
        action, disturbance = self._pick(ACTIONS), self._pick(DISTURBANCES)
        what = f"step {self._number}: {action}, disturbed by {disturbance}"
        target = self._target(action)
        settings = self._settings(target or self._live)
        self._say(f"{what}; {settings}")
        if target and action not in FAULTS:
            self._load.expect(self._versions[self._live].name, self._versions[target].name)
        with ExitStack() as mended:
            code = self._act(action, disturbance, what, mended)
            if action == "rollback on a full disk":
                self._settle(what)
        self._settle(what)
        self.settings[settings] += 1
        killed = disturbance.startswith("daemon")
        self._judge(what, action, target, code, killed=killed)
        self._check(what)

    def _act(self, action: str, disturbance: str, what: str, mended: ExitStack) -> int:
        """Returns the exit code of the command. `mended` undoes what was broken for the action."""
        if action == "deploy with a bad env file":
            mended.enter_context(trouble.bad_env_file(self._site, self._rng))
        elif action == "rollback on a full disk":
            # Without room, the previous version may not get the scripts of other ones.
            previous = self._versions[self._previous].name
            self._load.pages = [name for name in self._load.pages if name == previous]
            mended.enter_context(trouble.full_disk(self._site))
        client = self._begin(action)
        if action == "deploy beside a neighbour":
            mended.enter_context(trouble.neighbour(self._site, [*self._versions][-1]))
        time.sleep(self._rng.uniform(0, LATEST_S))
        before = self._site.daemons[-1]
        self._disturb(disturbance)
        if client and action == "deploy that is cancelled":
            self._cancel(client)
        code = client.wait(SETTLED_WITHIN_S) if client else 0
        if before.process.poll() is not None:
            if not disturbance.startswith("daemon"):
                self.problems.append(f"{what}: the daemon ended by itself")
            self._start()
        return code

    def _cancel(self, client: "subprocess.Popen[bytes]") -> None:
        """Cancels again and again: the client may have lost its daemon, or the daemon may not have its request yet."""

        def cancelled() -> bool:
            return client.poll() is not None or self._command("cancel").wait() == 0

        wait_until("the deploy is cancelled", cancelled, SETTLED_WITHIN_S)

    def _settings(self, commit: str) -> str:
        count = self._site.config["proxy_workers"]
        return f"{count} {'worker' if count == 1 else 'workers'}, {self._versions[commit].config['strategy']}"

    def _target(self, action: str) -> str:
        """The commit that the action would make live; empty if it deploys nothing."""
        if action.startswith("rollback"):
            return self._previous
        return self._commit(action).commit if action.startswith("deploy") else ""

    def _begin(self, action: str) -> "subprocess.Popen[bytes] | None":
        if action == "nothing":
            return None
        if action == "reload":
            project.configure(self._site, self._rng)
        return self._command(action.partition(" ")[0])

    def _command(self, command: str) -> "subprocess.Popen[bytes]":
        with (self._site.folder / "commands.log").open("ab") as log:
            return subprocess.Popen(
                [self._site.orchestrator.binary, command],
                cwd=self._site.repo,
                env=environment(),
                stdout=log,
                stderr=log,
            )

    def _disturb(self, disturbance: str) -> None:
        done = True
        match disturbance:
            case "daemon":
                self.killer.daemon()
            case "worker":
                done = self.killer.worker()
            case "app":
                done = self.killer.app()
            case "daemon and worker":
                done = self.killer.worker(with_daemon=True)
            case "daemon and app":
                done = self.killer.app(with_daemon=True)
            case "process":
                done = self.killer.beside()
            case "daemon and process":
                done = self.killer.beside(with_daemon=True)
            case "SIGHUP":
                self._site.daemons[-1].process.send_signal(signal.SIGHUP)
        self.kills[disturbance] += done

    def _start(self) -> None:
        project.configure(self._site, self._rng)
        began_s = time.monotonic()
        self._site.start()
        self.starts_s.append(time.monotonic() - began_s)

    def _settle(self, what: str) -> None:
        try:
            wait_until(f"all is at rest after {what}", self._at_rest, SETTLED_WITHIN_S)
        except AssertionError as error:
            self.problems.append(str(error))
        self.killer.join()

    def _at_rest(self) -> bool:
        try:
            status = self._site.status()
        except (OSError, AssertionError, http.client.HTTPException):
            return False
        return bool(status["healthy"]) and not status["running"]

    def _judge(self, what: str, action: str, target: str, code: int, *, killed: bool) -> None:
        """Checks the outcome. Asks `status` what is live only if both versions would be correct."""
        outcome = "succeeded" if code == 0 else "killed with the daemon" if killed else "failed"
        self.outcomes[action, outcome] += 1
        if action in FAULTS:
            self._judge_failure(what, FAULTS[action], code, killed=killed)
            return
        if code and not killed:
            self.problems.append(f"{what}: exit code {code}")
        switched = code == 0 or self._site.status()["live_commit"] == target
        if target and switched:
            self._went_live(target)
        self._load.expect(self._versions[self._live].name)

    def _went_live(self, commit: str) -> None:
        self._live, self._previous = commit, self._live
        name = self._versions[commit].name
        self._were_live = [name, *(other for other in self._were_live if other != name)]
        attempts = [row for row in self._site.history() if row["kind"] in ("deploy", "rollback")]
        if "does not serve all assets" in str(attempts[-1]["warnings"]):
            # There was no room for them.
            del self._were_live[1:]
        self._load.pages = self._were_live[:PAGES]

    def _judge_failure(self, what: str, fault: Fault, code: int, *, killed: bool) -> None:
        attempt = [row for row in self._site.history() if row["kind"] == "deploy"][-1]
        result = "cancelled" if fault == "cancel" else "failed"
        as_expected = attempt["result"] == result and attempt["stage"] in STAGES[fault]
        if code == 0 or not (killed or as_expected):
            self.problems.append(f"{what}: exit code {code}, {attempt}")
        elif fault == "neighbour" and not killed and "is not the app's" not in str(attempt["error"]):
            self.problems.append(f"{what}: {attempt}")

    def _check(self, what: str) -> None:
        """Waits until the checks pass, because processes that retire or were killed end a moment later."""
        workers = int(str(self._site.config["proxy_workers"]))
        expected = Expected(self._versions[self._live], self._previous, workers)
        found: list[str] = []

        def none() -> bool:
            try:
                found[:] = checks.problems(self._site, expected)
            except (OSError, AssertionError, http.client.HTTPException) as error:
                # A reload that had to wait may happen only now.
                found[:] = [repr(error)]
            return not found

        try:
            wait_until("the checks pass", none)
        except AssertionError as error:
            self.problems.append(f"{what}: {error}: {found}")
        else:
            self.checks_passed += 1
            self._attack(what)

    def _attack(self, what: str) -> None:
        if "user" not in self._site.config:
            return
        try:
            held, found = checks.apps_attacks(self._site)
        except (OSError, AssertionError, http.client.HTTPException) as error:
            held, found = 0, [f"the app could not attack its daemon: {error!r}"]
        self.attacks_held += held
        self.problems += [f"{what}: {problem}" for problem in found]

    def _commit(self, action: str) -> Version:
        version = project.commit(
            self._site,
            self._rng,
            len(self._versions) + 1,
            fault=FAULTS.get(action, ""),
            children=action == "deploy that daemonises",
        )
        self._versions[version.commit] = version
        return version

    def _pick(self, weights: dict[str, int]) -> str:
        return self._rng.choices(list(weights), list(weights.values()))[0]
