"""The release command as a Job, and a command by hand."""

import json

import pytest

from slot_machine.core.engine_config import Kubernetes
from slot_machine.core.errors import EngineFailed, StageFailed
from slot_machine.core.phases import HALF_MIGRATED
from slot_machine.engines.kubernetes import one_off
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.engine import KubernetesEngine
from tests.fake_kubectl import FakeClock, FakeKubectl, state
from tests.kubernetes_shapes import COMMIT, app

RELEASING = app({"release_command": "npm run migrate"})
JOB = "shop-release-01234567-7"
POD = f"{JOB}-x1"


@pytest.fixture
def kubectl() -> FakeKubectl:
    return FakeKubectl()


def run(kubectl: FakeKubectl) -> list[str]:
    config = Kubernetes(registry="registry.example.com")
    return list(KubernetesEngine("shop", config, kubectl, FakeClock(kubectl)).run_release(RELEASING))


def test_output_is_shown_and_the_job_removed(kubectl: FakeKubectl) -> None:
    kubectl.output[POD] = ["one", "two"]

    assert run(kubectl) == ["one", "two"]
    assert kubectl.named("jobs") == []


def test_failure_tells_the_exit_code_and_the_last_lines_and_keeps_the_job(kubectl: FakeKubectl) -> None:
    kubectl.output[POD] = [str(number) for number in range(50)]
    kubectl.job_exit = 4

    with pytest.raises(StageFailed, match="exited with code 4") as failed:
        run(kubectl)

    assert failed.value.stage == "release"
    assert HALF_MIGRATED in str(failed.value)
    assert failed.value.output[-1] == "49"
    assert kubectl.named("jobs") == [JOB]


def test_logs_are_read_before_the_job_is_removed(kubectl: FakeKubectl) -> None:
    kubectl.output[POD] = ["one"]
    run(kubectl)

    verbs = [call.verb for call in kubectl.calls]
    assert verbs.index("logs") < verbs.index("delete")


def test_name_that_is_taken_runs_nothing(kubectl: FakeKubectl) -> None:
    kubectl.add("jobs", {"metadata": {"name": JOB}})

    with pytest.raises(StageFailed, match="already"):
        run(kubectl)


def test_image_that_no_node_gets_ends_it(kubectl: FakeKubectl) -> None:
    kubectl.ways[COMMIT] = state(waiting={"reason": "ImagePullBackOff", "message": "unauthorized"})
    kubectl.ways[COMMIT]["phase"] = "Pending"
    config = Kubernetes(registry="registry.example.com")
    steps = KubernetesEngine("shop", config, kubectl, FakeClock(kubectl)).run_release(RELEASING)
    kubectl.pending = True

    with pytest.raises(StageFailed, match="did not start: its node can't get the image: unauthorized"):
        list(steps)
    assert kubectl.named("jobs") == []


def test_interruption_ends_the_command(kubectl: FakeKubectl) -> None:
    kubectl.output[POD] = ["one", "two"]
    config = Kubernetes(registry="registry.example.com")
    steps = KubernetesEngine("shop", config, kubectl, FakeClock(kubectl)).run_release(RELEASING)
    assert next(steps) == "one"

    steps.close()

    assert kubectl.named("jobs") == []


@pytest.mark.parametrize(("terminal", "options"), [(True, ["--stdin", "--tty"]), (False, ["--stdin"])])
def test_command_by_hand_runs_in_a_pod_of_its_own(kubectl: FakeKubectl, terminal: bool, options: list[str]) -> None:
    kubectl.exit_code = 7

    code = one_off.run(Cluster(kubectl, "shop"), app(), ["rake", "db:seed"], FakeClock(kubectl), terminal=terminal)

    assert code == 7
    (call,) = [call for call in kubectl.calls if call.verb == "exec"]
    assert list(call.args[: len(options)]) == options
    assert call.args[-3:] == ("run", "rake", "db:seed")
    made = json.loads(next(call.given for call in kubectl.calls if call.verb == "create"))
    assert made["spec"]["ttlSecondsAfterFinished"] == 60
    assert kubectl.named("jobs") == []


def test_command_by_hand_that_has_no_node_is_told(kubectl: FakeKubectl) -> None:
    kubectl.unschedulable.add(COMMIT)

    with pytest.raises(EngineFailed, match="no node takes it"):
        one_off.run(Cluster(kubectl, "shop"), app(), ["x"], FakeClock(kubectl), terminal=False)
    assert kubectl.named("jobs") == []
