"""What `engine check` finds, and which architectures images are built for."""

from pathlib import Path

import msgspec
import pytest

from slot_machine.core.engine_config import Kubernetes
from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import Answer
from slot_machine.engines.engine import Finding
from slot_machine.engines.image import registry_check
from slot_machine.engines.kubernetes.engine import KubernetesEngine, kubectl
from tests.fake_kubectl import FakeClock, FakeKubectl, Json

REGISTRY = Finding("the registry answers")
CONFIG = Kubernetes(registry="registry.example.com/team")


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Answers, and docker is logged in there."""
    monkeypatch.setattr(registry_check, "_reached", lambda _: REGISTRY)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(
        '{"auths": {"registry.example.com": {}, "1.dkr.ecr.eu-west-1.amazonaws.com": {}}}'
    )


def node(name: str, architecture: str = "amd64", system: str = "linux", taint: str = "") -> Json:
    taints = [{"key": taint, "effect": "NoSchedule"}] if taint else []
    info = {"architecture": architecture, "operatingSystem": system}
    return {"metadata": {"name": name}, "spec": {"taints": taints}, "status": {"nodeInfo": info}}


@pytest.fixture
def cluster() -> FakeKubectl:
    made = FakeKubectl()
    made.add("nodes", node("one"))
    return made


def findings(cluster: FakeKubectl, **fields: str) -> list[Finding]:
    config = msgspec.structs.replace(CONFIG, **fields)
    return list(KubernetesEngine("shop", config, cluster, FakeClock(cluster)).check())


def platforms(cluster: FakeKubectl) -> tuple[str, ...]:
    return KubernetesEngine("shop", CONFIG, cluster, FakeClock(cluster)).platforms()


def test_all_is_well(cluster: FakeKubectl) -> None:
    found = findings(cluster)

    assert [finding.what for finding in found] == [
        "context production",
        "the server has Kubernetes 1.30",
        "all rights that a deploy needs",
        "nodes of linux/amd64",
        "the registry answers",
        "docker is logged in to registry.example.com",
    ]
    assert not any(finding.remedy for finding in found)


def test_server_that_is_too_old(cluster: FakeKubectl) -> None:
    cluster.version = {"major": "1", "minor": "24"}

    assert any("1.26 or newer" in finding.remedy for finding in findings(cluster))


def test_server_out_of_reach_ends_the_check(cluster: FakeKubectl) -> None:
    cluster.fail("version", "Unable to connect to the server: dial tcp: i/o timeout")

    found = findings(cluster)

    assert "i/o timeout" in found[-1].what
    assert found[-1].remedy


def test_context_that_kubectl_does_not_know(cluster: FakeKubectl) -> None:
    (found,) = [finding for finding in findings(cluster, context="prod") if finding.remedy]

    assert found.what == "kubectl knows no context prod"
    assert "production" in found.remedy


def test_rights_that_are_lacking_are_named(cluster: FakeKubectl) -> None:
    cluster.faults.append((lambda call: call.verb == "auth" and "pods/exec" in call.args, Answer(1, "no\n", "")))

    (lacking,) = [finding for finding in findings(cluster) if finding.remedy]

    assert lacking.what == "rights that we have not: create pods/exec"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ingress_class": "nginx"}, "no ingressclass nginx"),
        ({"issuer": "letsencrypt"}, "no clusterissuer letsencrypt"),
        ({"storage_class": "nfs"}, "no storageclass nfs"),
        ({"pull_secret": "login"}, "no secret login"),
        ({"gateway": "infra/public"}, "no gateway public"),
        ({"namespace": "shop"}, "no namespace shop"),
    ],
)
def test_what_the_configuration_names_has_to_be_there(cluster: FakeKubectl, fields: dict[str, str], says: str) -> None:
    (lacking,) = [finding for finding in findings(cluster, **fields) if finding.remedy]

    assert says in lacking.what


def test_password_that_ends_soon_is_warned_of(cluster: FakeKubectl) -> None:
    cluster.add("secret", {"metadata": {"name": "login"}})
    found = findings(cluster, registry="1.dkr.ecr.eu-west-1.amazonaws.com/team", pull_secret="login")

    (warned,) = [finding for finding in found if finding.remedy]
    assert (warned.fatal, "end after some hours" in warned.what) == (False, True)


def test_nodes_that_log_in_by_themselves_need_no_password_of_ours(cluster: FakeKubectl) -> None:
    found = findings(cluster, registry="1.dkr.ecr.eu-west-1.amazonaws.com/team")
    assert not any(finding.remedy for finding in found)


def test_registry_that_does_not_answer(cluster: FakeKubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (wrong, _) = [finding for finding in findings(cluster, registry="127.0.0.1:1/team") if finding.remedy]
    assert "127.0.0.1:1 does not answer" in wrong.what


def test_images_are_for_all_nodes_that_take_pods(cluster: FakeKubectl) -> None:
    cluster.add("nodes", node("two", "arm64"))
    cluster.add("nodes", node("control", "s390x", taint="node-role.kubernetes.io/control-plane"))
    cluster.add("nodes", node("windows", "amd64", "windows"))
    cluster.add("nodes", node("drained", "ppc64le", taint="node.kubernetes.io/unschedulable"))

    assert platforms(cluster) == ("linux/amd64", "linux/arm64", "linux/ppc64le")


def test_nodes_that_may_not_be_listed_are_no_failure(cluster: FakeKubectl) -> None:
    cluster.fail("get", "Error from server (Forbidden): nodes is forbidden", "nodes")

    assert platforms(cluster) == ()
    (warned,) = [finding for finding in findings(cluster) if finding.remedy]
    assert not warned.fatal


def test_cluster_without_a_node_for_pods(cluster: FakeKubectl) -> None:
    cluster.objects.clear()

    with pytest.raises(EngineFailed, match="no node"):
        platforms(cluster)
    assert any("no node" in finding.what for finding in findings(cluster))


def test_context_and_namespace_are_those_of_the_configuration() -> None:
    config = msgspec.structs.replace(CONFIG, context="production", namespace="shop")

    assert kubectl(config).shown("get", "pods") == "kubectl --context production --namespace shop get pods"
    assert kubectl(CONFIG).shown("get", "pods") == "kubectl get pods"
