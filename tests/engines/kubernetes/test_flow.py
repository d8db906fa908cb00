"""Whole deploys, rollbacks and restarts on a cluster in memory: what users get, and what is live afterwards."""

from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
import pytest

from slot_machine.core.engine_config import Kubernetes
from slot_machine.core.origin import Description
from slot_machine.engines.engine import Steps
from slot_machine.engines.flow import Asked, Flow
from slot_machine.engines.kubernetes.engine import KubernetesEngine
from slot_machine.engines.shape import App, Values
from slot_machine.engines.stages import Line
from tests.fake_kubectl import FakeClock, FakeKubectl, state
from tests.kubernetes_shapes import VALUES, Fields, app

CONFIG = Kubernetes(registry="registry.example.com/team")
FIELDS: Fields = {
    "processes": {"worker": "node worker.js"},
    "cron": {"nightly": {"schedule": "@daily", "command": "x"}},
    "release_command": "npm run migrate",
}
CRASHED = state(waiting={"reason": "CrashLoopBackOff"}) | {"lastState": {"terminated": {"exitCode": 3}}}


class Engine(KubernetesEngine):
    def give_image(self, app: App) -> Steps:
        yield from ()
        return app.image


class Images:
    def build(self, app: App, platforms: Sequence[str]) -> Steps:  # noqa: ARG002
        yield from ()
        return ""


class Shop:
    def __init__(self) -> None:
        self.kubectl = FakeKubectl()
        self.kubectl.add(
            "nodes",
            {
                "metadata": {"name": "node-1"},
                "status": {"nodeInfo": {"architecture": "amd64", "operatingSystem": "linux"}},
            },
        )

    def engine(self) -> KubernetesEngine:
        """Of another computer each time: nothing is kept here."""
        return Engine("shop", CONFIG, self.kubectl, FakeClock(self.kubectl))

    def deploy(self, letter: str, values: Values = VALUES) -> Line:
        of = msgspec.structs.replace(app(FIELDS, release=0, commit=letter * 40), env_digest=values.digest)
        return last(self.flow(values).deploy(of, Description("subject", "author")))

    def rollback(self, to: str = "") -> Line:
        return last(self.flow().rollback(app(FIELDS).daemon, to))

    def restart(self, values: Values = VALUES) -> Line:
        return last(self.flow(values).restart(app(FIELDS).daemon))

    def flow(self, values: Values = VALUES) -> Flow:
        return Flow(self.engine(), Images(), "shop", Asked("me"), values)

    def runs(self) -> set[tuple[str, str]]:
        """Each process with the letter of its commit; also the job's."""
        found = {(copy.process, copy.commit[0]) for copy in self.engine().status().copies}
        for name in self.kubectl.named("cronjobs"):
            labels = cast(Fields, self.kubectl.at("cronjobs", name, "metadata", "labels"))
            found.add(("cron", str(labels["slot-machine.dev/commit"])[0]))
        return found


def last(lines: Iterator[Line]) -> Line:
    *_, reply = lines
    return reply


@pytest.fixture
def shop() -> Shop:
    return Shop()


def everything(letter: str) -> set[tuple[str, str]]:
    return {("web", letter), ("worker", letter), ("cron", letter)}


def test_deploy_and_rollback_bring_all_processes_and_jobs(shop: Shop) -> None:
    assert shop.deploy("a")["success"]
    assert shop.deploy("d", Values({"KEY": "other"}))["success"]
    assert shop.runs() == everything("d")

    assert shop.rollback()["success"]

    assert shop.runs() == everything("a")
    job = shop.kubectl.get("cronjobs", "shop-cron-nightly")
    assert f"shop-env-{VALUES.digest}" in str(job)
    assert [release.kind for release in shop.engine().releases()] == ["rollback", "deploy", "deploy"]


def test_bad_version_takes_all_back(shop: Shop) -> None:
    shop.deploy("a")
    shop.kubectl.ways["b" * 40] = CRASHED

    reply = shop.deploy("b")

    assert (reply["success"], reply["stage"]) == (False, "start")
    assert "exit code 3" in str(reply["error"])
    assert shop.runs() == everything("a")
    assert shop.engine().status().healthy
    assert [release.result for release in shop.engine().releases()] == ["failed", "succeeded"]


def test_release_command_that_fails_changes_nothing(shop: Shop) -> None:
    shop.deploy("a")
    shop.kubectl.job_exit = 4

    reply = shop.deploy("b")

    assert (reply["success"], reply["stage"]) == (False, "release")
    assert shop.runs() == everything("a")


def test_first_deploy_that_fails_leaves_nothing_that_runs(shop: Shop) -> None:
    shop.kubectl.ways["b" * 40] = CRASHED

    assert not shop.deploy("b")["success"]

    assert shop.runs() == set()
    assert shop.kubectl.named("secrets") == []


def test_what_the_server_refuses_changes_nothing(shop: Shop) -> None:
    shop.deploy("a")
    shop.kubectl.fail("apply", 'Deployment "shop" is invalid', "--dry-run=server")

    reply = shop.deploy("b")

    assert "is invalid" in str(reply["error"])
    assert "not back" not in str(reply["error"])
    assert shop.runs() == everything("a")


def test_restart_brings_the_variables_of_now(shop: Shop) -> None:
    shop.deploy("a")
    values = Values({"KEY": "new"})

    assert shop.restart(values)["success"]

    live = shop.engine().live()
    assert live
    assert (live.commit[0], live.release, live.env_digest) == ("a", 2, values.digest)


def test_same_commit_is_live_already_while_the_version_before_still_ends(shop: Shop) -> None:
    shop.deploy("a")
    shop.deploy("d")
    ending = {
        "metadata": {
            "name": "shop-1-old",
            "labels": cast(Fields, shop.kubectl.at("pods", "shop-2-1", "metadata", "labels"))
            | {"slot-machine.dev/release": "1", "slot-machine.dev/commit": "a" * 40},
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": {"phase": "Running"},
    }
    shop.kubectl.add("pods", ending)

    assert shop.deploy("d")["already_live"]


def test_another_computers_deploy_is_busy(shop: Shop) -> None:
    shop.deploy("a")
    of = app(FIELDS, commit="d" * 40)
    lines = shop.flow().deploy(of, Description("subject", "author"))
    for line in lines:
        if line.get("stage") == "build":
            break

    reply = shop.deploy("e")
    assert "runs since" in str(reply["error"])

    lines.close()  # type: ignore[attr-defined]
    assert shop.engine().releases()[0].result == "cancelled"
    assert shop.runs() == everything("a")
