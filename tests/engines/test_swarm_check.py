"""What `engine check` finds on a swarm, and what it says to do."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import Answer
from slot_machine.engines.engine import Finding
from slot_machine.engines.image import registry_check
from slot_machine.engines.swarm import check, nodes
from tests.engines.fake_swarm import FakeSwarm, dig

VERSIONS = {"Client": {"Version": "28.2.2"}, "Server": {"Version": "20.10.24"}}
INFO = {"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}, "Plugins": {"Network": ["bridge", "overlay"]}}


def answer(value: object) -> Answer:
    return Answer(0, json.dumps(value), "")


@pytest.fixture(autouse=True)
def ssh(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    """What ssh answers by place."""
    answers: dict[str, Answer] = {}

    class Ssh:
        def __init__(self, *words: str) -> None:
            assert words == ("ssh",)

        def attempt(self, *args: str, limit_s: float) -> Answer:
            assert limit_s
            assert not args[4].startswith("-")
            return answers.get(args[4], Answer(0, "20.10", ""))

    monkeypatch.setattr(check, "Client", Ssh)
    return answers


def found(swarm: FakeSwarm, **config: object) -> list[Finding]:
    swarm.faults.setdefault("version --format", answer(VERSIONS))
    swarm.faults.setdefault("info --format", answer(INFO))
    swarm.faults.setdefault("node ls --format", Answer(0, "", ""))
    return list(check.findings(swarm.docker, Swarm(**config)))  # type: ignore[arg-type]


def problems(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if finding.remedy]


def test_a_swarm_that_is_well() -> None:
    findings = found(FakeSwarm())
    assert problems(findings) == ["the swarm has no edge"]
    words = "\n".join(finding.what for finding in findings)
    assert "docker 28.2.2 reaches an engine 20.10.24" in words
    assert "2 nodes take tasks: linux/amd64" in words


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ('context "nowhere": context not found', "docker context create"),
        ("permission denied while trying to connect to unix:///var/run/docker.sock", "group docker"),
        ("ssh: connect to host node1 port 22: Connection refused", "without a password"),
        ("Cannot connect to the Docker daemon", "docker context ls"),
    ],
)
def test_an_engine_that_is_not_reached_ends_the_check(error: str, remedy: str) -> None:
    swarm = FakeSwarm()
    swarm.faults["version --format"] = Answer(1, '{"Client":{"Version":"28"},"Server":null}', error)
    (finding,) = found(swarm)
    assert remedy in finding.remedy
    assert finding.fatal


def test_a_client_that_is_not_there() -> None:
    swarm = FakeSwarm()
    swarm.faults["version --format"] = EngineFailed("docker is not installed here", "install docker")
    assert found(swarm) == [Finding("docker is not installed here", "install docker")]


def test_a_client_and_an_engine_that_are_too_old() -> None:
    swarm = FakeSwarm()
    swarm.faults["version --format"] = answer({"Client": {"Version": "19.03.1"}, "Server": {"Version": "18.09"}})
    assert problems(found(swarm))[:2] == ["docker's client is 19.03.1", "docker's engine is 18.09"]


@pytest.mark.parametrize(
    ("info", "remedy"),
    [
        ({"Swarm": {"LocalNodeState": "inactive"}}, "docker swarm init"),
        ({"Swarm": {"LocalNodeState": "active", "ControlAvailable": False}}, "leads to a manager"),
        ({"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}}, "vxlan"),
    ],
)
def test_an_engine_that_is_no_manager_ends_the_check(info: object, remedy: str) -> None:
    swarm = FakeSwarm()
    swarm.faults["info --format"] = answer(info)
    assert remedy in found(swarm)[-1].remedy


def test_a_user_without_rights() -> None:
    swarm = FakeSwarm()
    swarm.faults["node ls"] = Answer(1, "", "authorization denied by plugin")
    assert "authorization denied" in found(swarm)[-1].what


def test_nodes_that_are_away_or_can_not_be_given_images(ssh: dict[str, Answer]) -> None:
    swarm = FakeSwarm()
    ssh["deploy@node1"] = Answer(255, "", "Permission denied (publickey)")
    cast(dict[str, str], dig(swarm.nodes[1], "Status"))["State"] = "down"
    findings = found(swarm, nodes={"node1": "deploy@node1"})
    assert "node2 is down, active" in problems(findings)
    (finding,) = [finding for finding in findings if "can't be given images" in finding.what]
    assert "ssh deploy@node1 docker version" in finding.remedy
    assert finding.fatal


def test_two_managers_are_worse_than_one() -> None:
    swarm = FakeSwarm()
    cast(dict[str, str], dig(swarm.nodes[1], "Spec"))["Role"] = "manager"
    assert any("2 managers" in what for what in problems(found(swarm)))


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_registry_that_asks_for_a_login(registry: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    answers, login = registry_check.registry(f"{registry}/team")
    assert not answers.remedy
    assert f"docker login {registry}" in login.remedy
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {}}}))
    assert problems(list(registry_check.registry(f"{registry}/team"))) == []


def test_a_registry_that_does_not_answer() -> None:
    (finding, *_) = registry_check.registry("127.0.0.1:1/team")
    assert "does not answer" in finding.what
    assert finding.fatal


@pytest.mark.parametrize(
    ("host", "config"),
    [
        ("1.dkr.ecr.eu-west-1.amazonaws.com", {}),
        ("registry.example.com", {"credHelpers": {"registry.example.com": "ecr-login"}}),
        ("europe-docker.pkg.dev", {"credsStore": "desktop"}),
    ],
)
def test_logins_that_end_soon_are_told(host: str, config: dict[str, object]) -> None:
    findings = list(registry_check._login(host, config))
    assert "end after some hours" in findings[0].what
    assert not findings[0].fatal


def test_logins_that_last_are_not() -> None:
    (finding,) = registry_check._login("registry.example.com", {"auths": {"https://registry.example.com/v1/": {}}})
    assert not finding.remedy


def test_the_name_of_a_node_is_no_option_of_ssh() -> None:
    swarm = FakeSwarm()
    name = "-oProxyCommand=touch${IFS}/tmp/owned"
    cast(dict[str, object], swarm.nodes[1]["Description"])["Hostname"] = name
    assert f"the node {name!r} has a name that can't be a host's" in problems(found(swarm))
    with pytest.raises(EngineFailed, match="can't be a host's"):
        nodes.place(name, {})
    assert nodes.place(name, {name: "deploy@10.0.0.2"}) == "deploy@10.0.0.2"
