"""Deploys on a cluster in memory: what is applied, when it has failed and why, and what stays."""

import json
from collections.abc import Generator
from typing import NamedTuple, cast

import msgspec
import pytest

from slot_machine.core.engine_config import Kubernetes
from slot_machine.core.errors import Busy, EngineFailed, Impossible, NothingLive, StageFailed
from slot_machine.engines.client import Answer, Client
from slot_machine.engines.engine import Steps
from slot_machine.engines.kubernetes import names
from slot_machine.engines.kubernetes.engine import KubernetesEngine
from slot_machine.engines.release import Ended, Release, now
from slot_machine.engines.shape import App, Values
from tests.fake_kubectl import FakeClock, FakeKubectl, state
from tests.kubernetes_shapes import VALUES, Fields, app

OLD, NEW = "a" * 40, "b" * 40
CONFIG = Kubernetes(registry="registry.example.com/team")
CRASHED = state(waiting={"reason": "CrashLoopBackOff", "message": "back-off"}) | {
    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
    "restartCount": 1,
}


class Shop(NamedTuple):
    kubectl: FakeKubectl
    clock: FakeClock
    engine: KubernetesEngine


@pytest.fixture
def shop() -> Shop:
    kubectl = FakeKubectl()
    clock = FakeClock(kubectl)
    return Shop(kubectl, clock, KubernetesEngine("shop", CONFIG, kubectl, clock))


def release(
    shop: Shop, number: int, commit: str, fields: Fields | None = None, engine: Fields | None = None
) -> Release:
    of = app(fields, engine, release=number, commit=commit)
    return released(shop, of)


def released(shop: Shop, of: App) -> Release:
    return Release(
        number=of.release,
        kind="deploy",
        app=of,
        manifest=shop.engine.manifest(of),
        target=of.release,
        started_at=now(),
        until=now(900),
    )


def lines(steps: Steps) -> tuple[list[str], str]:
    said = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return said, end.value


def rolled_out(shop: Shop, one: Release) -> str:
    shop.engine.begin(one)
    shop.engine.keep_values(one.app, VALUES)
    shop.engine.apply(one)
    summary = lines(shop.engine.wait(one))[1]
    shop.engine.end(one, Ended(result="succeeded", ended_at=now()))
    return summary


def failing(shop: Shop, one: Release) -> StageFailed:
    shop.engine.apply(one)
    with pytest.raises(StageFailed) as failed:
        lines(shop.engine.wait(one))
    return failed.value


# --- A rollout ---


def test_deploy_is_live_when_all_copies_are_healthy(shop: Shop) -> None:
    assert rolled_out(shop, release(shop, 1, OLD)) == "web: 3 of 3 healthy"

    live = shop.engine.live()
    assert live == (OLD, 1, VALUES.digest, False)
    assert [found.number for found in shop.engine.releases()] == [1]
    assert shop.engine.releases()[0].result == "succeeded"


def test_second_deploy_replaces_every_copy(shop: Shop) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    one = release(shop, 2, NEW)
    shop.engine.apply(one)
    assert shop.engine.live() == (OLD, 1, VALUES.digest, False)

    said, summary = lines(shop.engine.wait(one))

    assert said[0] == "web: 0 of 3 healthy"
    assert summary == "web: 3 of 3 healthy"
    status = shop.engine.status()
    assert {copy.commit for copy in status.copies} == {NEW}
    assert (status.healthy, status.updating, status.wanted) == (True, False, {"web": 3})


def test_answer_about_an_older_specification_does_not_count(shop: Shop) -> None:
    """Right after an apply, the status still says that the version before is complete."""
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.stuck = True
    one = release(shop, 2, NEW)
    shop.engine.apply(one)
    steps = shop.engine.wait(one)

    assert next(steps) == "web: 0 of 3 healthy"
    shop.clock.at[int(shop.clock.now_s()) + 3] = lambda: setattr(shop.kubectl, "stuck", False)
    assert lines(steps)[1] == "web: 3 of 3 healthy"


def test_workers_and_jobs_begin_when_the_version_is_healthy(shop: Shop) -> None:
    fields: Fields = {
        "processes": {"worker": "node worker.js"},
        "cron": {"nightly": {"schedule": "@daily", "command": "x"}},
    }
    one = release(shop, 1, NEW, fields)
    shop.kubectl.ways[NEW] = CRASHED
    failing(shop, one)
    assert shop.kubectl.named("deployments") == ["shop"]
    assert shop.kubectl.named("cronjobs") == []

    shop.kubectl.ways.clear()
    shop.kubectl.objects.clear()
    assert rolled_out(shop, one) == "web: 3 of 3 healthy, worker: 1 of 1 healthy"
    assert shop.kubectl.named("cronjobs") == ["shop-cron-nightly"]


@pytest.mark.parametrize(
    ("way", "stage", "says", "hint"),
    [
        (CRASHED, "start", "it ended with exit code 3", ""),
        (
            CRASHED | {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            "start",
            "more memory than its limit",
            "memory_max_mb",
        ),
        (
            state(waiting={"reason": "ImagePullBackOff", "message": "not found"}),
            "start",
            "can't get the image",
            "pull_secret",
        ),
        (
            state(waiting={"reason": "ErrImagePull", "message": "no match for platform in manifest"}),
            "start",
            "can't get the image",
            "engine check",
        ),
        (state(waiting={"reason": "InvalidImageName"}), "start", "can't get the image", "registry"),
        (
            state(waiting={"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot and"}),
            "start",
            "it can't start: container has runAsNonRoot",
            "USER 10001",
        ),
        (
            state(waiting={"reason": "CreateContainerConfigError", "message": 'secret "shop-env-1" not found'}),
            "start",
            "it can't start",
            "restart",
        ),
        (state(running={"startedAt": "2026-01-01T00:00:00Z"}), "health", "it runs, and is not healthy", ""),
    ],
)
def test_bad_version_is_told_in_words(shop: Shop, way: Fields, stage: str, says: str, hint: str) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.ways[NEW] = way

    one = release(shop, 2, NEW)
    shop.engine.apply(one)
    said: list[str] = []
    with pytest.raises(StageFailed) as raised:
        said.extend(shop.engine.wait(one))
    failed = raised.value

    assert says in str(failed)
    assert hint in failed.hint
    assert failed.stage == stage
    assert all(line.startswith("web: 0 of 3 healthy") for line in said)
    healthy = [copy for copy in shop.engine.status().copies if copy.healthy]
    assert [copy.commit for copy in healthy] == [OLD] * 3


def test_last_lines_of_a_crashed_copy_are_those_before_its_restart(shop: Shop) -> None:
    shop.kubectl.ways[NEW] = CRASHED
    shop.kubectl.output["shop-1-1 previous"] = ["Traceback", "KeyError: 'PORT'"]

    failed = failing(shop, release(shop, 1, NEW))

    assert failed.output == ("Traceback", "KeyError: 'PORT'")
    assert str(failed).startswith("shop-1-1: ")


def test_failure_of_the_health_check_is_told(shop: Shop) -> None:
    shop.kubectl.ways[NEW] = CRASHED
    said = "Startup probe failed: slot-machine: /healthz answered 500, not 200-200"
    shop.kubectl.events = [{"metadata": {"name": "e"}, "reason": "Unhealthy", "message": said}]

    failed = failing(shop, release(shop, 1, NEW))

    assert "answered 500" in str(failed)
    assert failed.stage == "health"


def test_image_of_another_architecture_is_told(shop: Shop) -> None:
    shop.kubectl.ways[NEW] = CRASHED
    shop.kubectl.output["shop-1-1 previous"] = ["exec /slot-machine/shim.sh: exec format error"]

    assert "the image is not for node-1" in failing(shop, release(shop, 1, NEW)).hint


def test_image_that_comes_late_is_waited_for(shop: Shop) -> None:
    shop.kubectl.ways[NEW] = state(waiting={"reason": "ErrImagePull", "message": "timeout"})
    one = release(shop, 1, NEW, {}, {"replicas": 1})

    def mended() -> None:
        shop.kubectl.ways.clear()
        shop.kubectl.objects.pop(("pods", "shop-1-1"))

    shop.clock.at[10] = mended
    shop.engine.apply(one)
    assert lines(shop.engine.wait(one))[1] == "web: 1 of 1 healthy"


def test_copy_without_a_node_is_waited_for_until_the_time_is_over(shop: Shop) -> None:
    shop.kubectl.unschedulable.add(NEW)
    one = release(shop, 1, NEW)
    shop.engine.apply(one)
    steps, said = shop.engine.wait(one), []

    with pytest.raises(StageFailed, match="no node takes it: 0/3 nodes are available"):
        said += lines(steps)[0]
    assert shop.clock.now_s() > 300


def test_many_copies_have_time_for_each(shop: Shop) -> None:
    """An autoscaler may want far more than the configuration says."""
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.add("horizontalpodautoscalers", scaler())
    shop.kubectl.scaled("shop", 12)
    shop.clock.stride = 50

    assert rolled_out(shop, release(shop, 2, NEW)) == "web: 12 of 12 healthy"
    assert shop.clock.now_s() > 600


def test_deadline_of_the_cluster_ends_it(shop: Shop) -> None:
    shop.kubectl.ways[NEW] = state(running={"startedAt": "2026-01-01T00:00:00Z"})
    one = release(shop, 1, NEW)
    shop.engine.apply(one)
    exceeded = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]

    def over() -> None:
        shop.kubectl.get("deployments", "shop")["status"] = {"conditions": exceeded, "observedGeneration": 1}

    shop.clock.at[20] = over
    with pytest.raises(StageFailed, match="it runs, and is not healthy"):
        lines(shop.engine.wait(one))
    assert shop.clock.now_s() < 30


def test_quota_is_told(shop: Shop) -> None:
    one = release(shop, 1, NEW)
    shop.engine.apply(one)
    shop.kubectl.stuck = True
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: small",
    }
    shop.kubectl.get("deployments", "shop")["status"] = {"observedGeneration": 1, "conditions": [condition]}

    with pytest.raises(StageFailed, match="makes no pod of shop: exceeded quota"):
        lines(shop.engine.wait(one))
    assert "exceeded quota" in shop.engine.status().notes[0]


def test_rollout_that_somebody_paused_has_failed(shop: Shop) -> None:
    one = release(shop, 1, NEW)
    shop.engine.apply(one)
    cast(Fields, shop.kubectl.get("deployments", "shop")["spec"])["paused"] = True

    with pytest.raises(StageFailed, match="paused"):
        lines(shop.engine.wait(one))


def test_rollout_that_somebody_else_overtook_has_failed(shop: Shop) -> None:
    one, other = release(shop, 1, OLD), release(shop, 2, NEW)
    shop.engine.apply(one)
    shop.clock.at[1] = lambda: shop.engine.apply(other)

    with pytest.raises(StageFailed, match="somebody else applied release 2"):
        lines(shop.engine.wait(one))


def test_cluster_that_does_not_answer_for_a_moment_is_asked_again(shop: Shop) -> None:
    one = release(shop, 1, NEW)
    shop.engine.apply(one)
    shop.clock.at[1] = lambda: shop.kubectl.fail("get", "connection refused")
    shop.clock.at[40] = shop.kubectl.mend

    assert lines(shop.engine.wait(one))[1] == "web: 3 of 3 healthy"


def test_cluster_that_does_not_answer_for_a_minute_has_failed_us(shop: Shop) -> None:
    one = release(shop, 1, NEW)
    shop.engine.apply(one)
    shop.clock.at[1] = lambda: shop.kubectl.fail("get", "connection refused")

    with pytest.raises(EngineFailed, match="connection refused"):
        lines(shop.engine.wait(one))


# --- What is applied ---


def test_version_before_comes_back_whole(shop: Shop) -> None:
    """Also its workers, whose new ones had started."""
    fields: Fields = {"processes": {"worker": "node worker.js"}}
    before = release(shop, 1, OLD, fields)
    rolled_out(shop, before)
    one = release(shop, 2, NEW, fields)
    shop.engine.apply(one)
    steps = shop.engine.wait(one)
    shop.kubectl.fail("apply", "connection refused", "shop-worker")
    with pytest.raises(EngineFailed):
        lines(steps)
    shop.kubectl.mend()

    shop.engine.apply(before)
    lines(shop.engine.wait(before))

    status = shop.engine.status()
    assert {(copy.process, copy.commit) for copy in status.copies} == {("web", OLD), ("worker", OLD)}
    assert status.healthy


def test_what_the_server_refuses_has_changed_nothing(shop: Shop) -> None:
    before = release(shop, 1, OLD)
    rolled_out(shop, before)
    shop.kubectl.fail("apply", "The Deployment is invalid", "--dry-run=server")

    with pytest.raises(EngineFailed, match="is invalid"):
        shop.engine.apply(release(shop, 2, NEW))

    assert shop.kubectl.at("deployments", "shop", "metadata", "labels", names.RELEASE) == "1"
    shop.engine.apply(before)
    assert lines(shop.engine.wait(before))[1] == "web: 3 of 3 healthy"


def test_conflict_names_who_and_what(shop: Shop) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    found = shop.kubectl.get("deployments", "shop")
    spec = cast(Fields, found["spec"])
    spec["revisionHistoryLimit"] = 10
    managed = cast(list[Fields], cast(Fields, found["metadata"])["managedFields"])
    managed.append(
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:revisionHistoryLimit": {}}}}
    )

    with pytest.raises(EngineFailed, match=r"kubectl-edit changed \.spec\.revisionHistoryLimit"):
        shop.engine.apply(release(shop, 2, NEW))


def scaler() -> Fields:
    target = {"kind": "Deployment", "name": "shop"}
    return {"metadata": {"name": "shop"}, "spec": {"scaleTargetRef": target}}


def applied_replicas(shop: Shop) -> object:
    (given,) = [
        call.given for call in shop.kubectl.calls if call.verb == "apply" and "--dry-run=server" not in call.args
    ][-1:]
    (item,) = [item for item in json.loads(given)["items"] if item["kind"] == "Deployment"]
    return item["spec"].get("replicas")


def test_autoscaler_keeps_its_number_of_copies(shop: Shop) -> None:
    """Five copies stay five, whether the field is left out or applied as it is."""
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.add("horizontalpodautoscalers", scaler())
    shop.kubectl.scaled("shop", 5)

    assert rolled_out(shop, release(shop, 2, NEW)) == "web: 5 of 5 healthy"

    assert applied_replicas(shop) is None


def test_autoscaler_that_has_changed_nothing_yet_does_not_get_one_copy(shop: Shop) -> None:
    """We alone have set the field: leaving it out would make it 1."""
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.add("horizontalpodautoscalers", scaler())

    assert rolled_out(shop, release(shop, 2, NEW, {}, {"replicas": 4})) == "web: 3 of 3 healthy"

    assert applied_replicas(shop) == 3


def test_number_of_copies_that_a_person_set_stays(shop: Shop) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.scaled("shop", 2, "kubectl")

    assert rolled_out(shop, release(shop, 2, NEW)) == "web: 2 of 2 healthy"


def test_number_of_copies_of_the_configuration_is_applied_otherwise(shop: Shop) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.fail("get", "Forbidden", "horizontalpodautoscalers")

    assert rolled_out(shop, release(shop, 2, NEW, {}, {"replicas": 4})) == "web: 4 of 4 healthy"


def test_maintenance_goes_on_across_a_deploy(shop: Shop) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    shop.engine.maintain(on=True)
    selector = cast(Fields, shop.kubectl.at("services", "shop", "spec", "selector"))
    assert selector[names.MAINTENANCE] == "off"
    assert cast(Fields, shop.kubectl.at("services", "shop", "metadata", "annotations"))[names.MAINTENANCE] == "on"

    rolled_out(shop, release(shop, 2, NEW))
    live = shop.engine.live()
    assert live
    assert (live.commit, live.maintenance) == (NEW, True)

    shop.engine.maintain(on=False)
    assert names.MAINTENANCE not in cast(Fields, shop.kubectl.at("services", "shop", "spec", "selector"))
    assert not cast(Fields, shop.kubectl.at("services", "shop", "metadata", "annotations"))


def test_volume_grows_and_never_shrinks(shop: Shop) -> None:
    def size() -> object:
        return shop.kubectl.at("persistentvolumeclaims", "shop-shared", "spec", "resources", "requests", "storage")

    shared: Fields = {"shared_dirs": ["uploads"]}
    for number, (gib, expected) in enumerate([(10, "10Gi"), (20, "20Gi"), (5, "20Gi")], 1):
        rolled_out(shop, release(shop, number, OLD, shared, {"replicas": 1, "storage_gb": gib}))
        assert size() == expected


def test_variables_are_kept_under_their_digest(shop: Shop) -> None:
    shop.engine.keep_values(app(), VALUES)

    assert shop.kubectl.named("secrets") == [f"shop-env-{VALUES.digest}"]
    assert not any("secret-word" in word for call in shop.kubectl.calls for word in call.args)


def test_sqlite_in_variables_is_refused_before_anything_is_applied(shop: Shop) -> None:
    with pytest.raises(Impossible):
        shop.engine.keep_values(
            app({"shared_dirs": ["d"]}, {"storage_class": "nfs"}), Values({"DATABASE_URL": "sqlite:///d/a.db"})
        )
    assert shop.kubectl.named("secrets") == []


# --- The image ---


class Docker(Client):
    """`codes` are the exit codes by the first words of a call: 0 if there is none."""

    def __init__(self, codes: dict[str, int]) -> None:
        super().__init__("docker")
        self.codes = codes
        self.pushed = False

    def attempt(self, *args: str, given: str = "", limit_s: float = 60.0) -> Answer:  # noqa: ARG002
        return Answer(self.codes.get(args[0], 0), "", "")

    def lines(
        self,
        *args: str,
        given: bytes = b"",  # noqa: ARG002
        limit_s: float = 0,  # noqa: ARG002
    ) -> Generator[str, None, int]:
        self.pushed = True
        yield "denied: requested access to the resource is denied"
        return self.codes.get(args[0], 0)


@pytest.mark.parametrize(("codes", "pushed"), [({}, True), ({"image": 1}, False), ({"image": 1, "manifest": 1}, True)])
def test_image_that_the_registry_alone_has_is_not_pushed(codes: dict[str, int], pushed: bool) -> None:
    docker = Docker(codes)

    lines(KubernetesEngine("shop", CONFIG, docker=docker).give_image(app()))

    assert docker.pushed is pushed


def test_registry_that_refuses_is_told() -> None:
    engine = KubernetesEngine("shop", CONFIG, docker=Docker({"push": 1}))

    with pytest.raises(StageFailed, match="docker can't push") as failed:
        lines(engine.give_image(app()))

    assert "denied" in failed.value.output[0]
    assert "may push there" in failed.value.hint


# --- What is live, and what stays ---


def test_nothing_is_live(shop: Shop) -> None:
    assert shop.engine.live() is None
    assert shop.engine.status().healthy is False
    with pytest.raises(NothingLive):
        shop.engine.maintain(on=True)


def test_rollout_that_a_dead_computer_left_is_not_live(shop: Shop) -> None:
    rolled_out(shop, release(shop, 1, OLD))
    shop.kubectl.ways[NEW] = CRASHED
    failing(shop, release(shop, 2, NEW))

    live = shop.engine.live()
    assert live
    assert (live.commit, live.release) == (OLD, 1)
    status = shop.engine.status()
    assert status.live == live
    (failed,) = [copy for copy in status.copies if copy.error]
    assert (failed.commit, failed.node, failed.state) == (NEW, "node-1", "starting")


def test_what_the_version_has_no_more_is_removed(shop: Shop) -> None:
    fields: Fields = {
        "processes": {"worker": "node worker.js"},
        "cron": {"nightly": {"schedule": "@daily", "command": "x"}},
        "domains": ["shop.example.com"],
        "shared_dirs": ["uploads"],
    }
    one = release(shop, 1, OLD, fields, {"replicas": 1})
    rolled_out(shop, one)
    two = release(shop, 2, NEW)
    shop.engine.apply(two)
    lines(shop.engine.wait(two))
    assert shop.kubectl.named("deployments") == ["shop", "shop-worker"]

    shop.engine.tidy(two, [one])

    assert shop.kubectl.named("deployments") == ["shop"]
    assert shop.kubectl.named("cronjobs") == []
    assert shop.kubectl.named("ingresses") == []
    assert shop.kubectl.named("persistentvolumeclaims") == ["shop-shared"]
    assert shop.kubectl.named("configmaps") == ["shop-release-1"]


def test_secrets_that_no_kept_release_names_are_removed(shop: Shop) -> None:
    kept = []
    for number, word in enumerate(("one", "two", "three"), 1):
        values = Values({"KEY": word})
        of = msgspec.structs.replace(app(release=number), env_digest=values.digest)
        shop.engine.keep_values(of, values)
        kept.append(released(shop, of))

    shop.engine.tidy(kept[2], kept[1:2])

    assert len(shop.kubectl.named("secrets")) == 2
    assert f"shop-env-{kept[0].app.env_digest}" not in shop.kubectl.named("secrets")


def test_first_deploy_that_failed_leaves_its_record_alone(shop: Shop) -> None:
    one = release(shop, 1, NEW, {"processes": {"worker": "x"}})
    rolled_out(shop, one)

    shop.engine.remove(one.app)

    assert {kind for kind, _ in shop.kubectl.objects} <= {"configmaps", "replicasets"}
    assert shop.engine.live() is None


# --- Records ---


def test_number_that_is_taken_is_busy(shop: Shop) -> None:
    shop.engine.begin(release(shop, 1, OLD))

    with pytest.raises(Busy, match="somebody else has begun release 1"):
        shop.engine.begin(release(shop, 1, NEW))


def test_record_tells_all_of_a_release(shop: Shop) -> None:
    one = release(shop, 1, OLD)
    shop.engine.begin(one)
    assert shop.engine.releases() == [one]
    assert shop.engine.releases()[0].result == "running"

    ended = Ended(result="failed", ended_at=now(), stage="health", error="it was 500")
    shop.engine.end(one, ended)

    assert shop.engine.releases()[0].ended == ended
    assert "secret-word" not in json.dumps(shop.kubectl.get("configmaps", "shop-release-1"))


def test_first_end_counts(shop: Shop) -> None:
    one = release(shop, 1, OLD)
    shop.engine.begin(one)
    shop.engine.end(one, Ended(result="cancelled", ended_at=now()))

    with pytest.raises(Busy, match="has ended already"):
        shop.engine.end(one, Ended(result="succeeded", ended_at=now()))
    assert shop.engine.releases()[0].result == "cancelled"


def test_latest_release_comes_first_and_old_ones_are_forgotten(shop: Shop) -> None:
    for number in (1, 2, 10):
        shop.engine.begin(release(shop, number, OLD))
    releases = shop.engine.releases()
    assert [found.number for found in releases] == [10, 2, 1]

    shop.engine.forget(releases[1:])

    assert [found.number for found in shop.engine.releases()] == [10]


@pytest.mark.parametrize("text", ["{}", "", "{", '{"x": ' + "[" * 100_000])
def test_record_of_another_form_is_named(shop: Shop, text: str) -> None:
    shop.engine.begin(release(shop, 1, OLD))
    shop.kubectl.get("configmaps", "shop-release-1")["data"] = {"release.json": text}

    with pytest.raises(EngineFailed, match="record shop-release-1 is none"):
        shop.engine.releases()
