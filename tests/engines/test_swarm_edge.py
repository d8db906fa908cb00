"""The edge of a swarm, on a `docker` in memory."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import ConfigError, EngineFailed
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.client import Answer, Client
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import edge as edges
from slot_machine.engines.swarm import edge_files, edge_settings, edge_status, labels
from slot_machine.engines.swarm.edge import Edge
from slot_machine.engines.swarm.edge_settings import SwarmEdge

Json = dict[str, object]


class Docker(Client):
    """`told` are the words of all calls. `nodes`: those with the edge's label are true. `error` is that of a task."""

    def __init__(self) -> None:
        super().__init__("docker")
        self.told: list[tuple[str, ...]] = []
        self.nodes = {"node1": False, "node2": False}
        self.networks: list[str] = []
        self.files: dict[str, str] = {}
        self.services: dict[str, Mapping[str, str]] = {}
        self.stack: Json = {}
        self.error = ""
        self.state = ""
        self.taken_back = False
        self.overtaken = 0
        """So many of the next changes of a node come too late: the engine has just written to it."""

    def attempt(self, *args: str, given: str = "", limit_s: float = 0) -> Answer:  # noqa: ARG002 - that of the base
        self.told.append(args)
        answer = self._answer(args, given)
        return answer if isinstance(answer, Answer) else Answer(0, answer, "")

    def _answer(self, args: tuple[str, ...], given: str) -> str | Answer:
        match args:
            case ("node", "ls", "--filter", *_):
                return "\n".join(name for name, marked in self.nodes.items() if marked)
            case ("node", "ls", *_):
                return "\n".join(self.nodes)
            case ("node", "inspect", *_):
                return "node1"
            case ("node", "update", *_) if self.overtaken:
                self.overtaken -= 1
                return Answer(1, "", "Error response from daemon: rpc error: desc = update out of sequence")
            case ("node", "update", what, _, name):
                self.nodes[name] = what == "--label-add"
            case ("network", "ls", *_):
                return "\n".join(self.networks)
            case ("network", "create", *_, name):
                self.networks.append(name)
            case ("network", "rm", name):
                self.networks.remove(name)
            case ("config" | "secret", "create", *_, name, "-"):
                if name in self.files:
                    return Answer(1, "", "rpc error: code = AlreadyExists")
                self.files[name] = given
            case ("config", "ls", *_):
                return "\n".join(self.files)
            case ("config", "rm", name):
                del self.files[name]
            case ("stack", "deploy", *_):
                self.stack = json.loads(given)
                for name in ("traefik", "api"):
                    self.services[f"{edge_files.STACK}_{name}"] = self._of(name)["deploy"]["labels"]  # type: ignore[index]
            case ("stack", "rm", *_):
                self.stack = {}
            case ("stack", "ps", *_):
                return self._tasks()
            case ("service", "ls", *_):
                return "\n".join(self.services)
            case ("service", "inspect", "--format", form, *names):
                digest = self.services[names[0]].get(edge_files.DIGEST, "") if not self.taken_back else "another"
                return f"{self.state} {digest}\n {digest}" if "UpdateStatus" in form else "traefik:v3.7"
            case ("service", "inspect", *names):
                return json.dumps(
                    [{"ID": name, "Spec": {"Name": name, "Labels": self.services[name] or None}} for name in names]
                )
        return ""

    def _of(self, service: str) -> Json:
        return self.stack["services"][service]  # type: ignore[index,no-any-return]

    def _tasks(self) -> str | Answer:
        if not self.stack:
            return Answer(1, "", "nothing found in stack: slot-machine-edge")
        running = [f"traefik.{name}" for name, marked in self.nodes.items() if marked]
        lines = []
        for number, name in enumerate([*running, "api.node1"]):
            service, _, node = name.partition(".")
            state = "Rejected 1 second ago" if self.error and service == "traefik" else "Running 2 minutes ago"
            task = {"Id": f"{number}", "Name": f" \\_ {edge_files.STACK}_{service}.1", "Node": node}
            lines.append(json.dumps(task | {"State": state, "Error": self.error}))
        return "\n".join(lines)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Docker:
    monkeypatch.setattr(edges, "STEADY_S", 0.0)
    monkeypatch.setattr(edges, "RUNNING_LIMIT_S", 0.0)
    monkeypatch.setattr(edges, "POLL_S", 0.0)
    return Docker()


def an_app(*domains: str, name: str = "shop") -> App:
    daemon = DaemonConfig(engine=Swarm(), domains=domains)
    return App(name=name, commit="c", image="i", version=VersionConfig(start_command="x"), daemon=daemon)


def install(docker: Docker, edge: SwarmEdge | None = None) -> None:
    for _ in Edge(docker).install(edge or SwarmEdge()):
        pass


def read(docker: Docker, file: str) -> Json:
    """A file of Traefik, as the engine keeps it."""
    configs = docker.stack["configs"]
    return json.loads(docker.files[configs[file]["name"]])  # type: ignore[no-any-return,index]


def test_it_goes_to_the_manager_that_was_asked_and_stays_there(docker: Docker) -> None:
    install(docker)
    assert docker.nodes == {"node1": True, "node2": False}
    docker.nodes = {"node1": False, "node2": True}
    install(docker)
    assert docker.nodes == {"node1": False, "node2": True}


def test_a_second_installation_changes_nothing(docker: Docker) -> None:
    install(docker)
    before = docker.stack, dict(docker.files), list(docker.networks)
    install(docker)
    assert (docker.stack, docker.files, docker.networks) == before


def test_files_of_earlier_installations_go(docker: Docker) -> None:
    install(docker)
    install(docker, SwarmEdge(acme_email="ops@example.com"))
    names = {each["name"] for each in docker.stack["configs"].values()}  # type: ignore[attr-defined]
    assert set(docker.files) == names


def test_what_the_internet_reaches_has_no_socket_of_the_engine(docker: Docker) -> None:
    install(docker)
    traefik, api = docker.stack["services"]["traefik"], docker.stack["services"]["api"]  # type: ignore[index]
    assert "docker.sock" not in json.dumps(traefik)
    assert api["networks"] == ["api"]
    assert "ports" not in api
    assert ("network", "create", "--driver", "overlay", "--internal", edge_files.API_NETWORK) in docker.told
    assert traefik["cap_drop"] == api["cap_drop"] == ["ALL"]


def test_ports_are_those_of_the_node_so_the_clients_address_stays(docker: Docker) -> None:
    install(docker)
    traefik = docker.stack["services"]["traefik"]  # type: ignore[index]
    assert [(port["published"], port["mode"]) for port in traefik["ports"]] == [(80, "host"), (443, "host")]
    assert traefik["deploy"]["endpoint_mode"] == "dnsrr"


def test_connections_to_apps_are_not_kept(docker: Docker) -> None:
    install(docker)
    http = read(docker, edge_files.DYNAMIC)["http"]
    assert http["serversTransports"]["app"]["maxIdleConnsPerHost"] == -1  # type: ignore[index]


def test_all_that_labels_name_is_there(docker: Docker) -> None:
    install(docker)
    http = read(docker, edge_files.DYNAMIC)["http"]
    for name in (labels.IN, labels.MAINTENANCE, labels.TO_HTTPS):
        assert name.removesuffix("@file") in http["middlewares"]  # type: ignore[index]
    assert labels.TRANSPORT.removesuffix("@file") in http["serversTransports"]  # type: ignore[index]
    assert labels.RESOLVER in read(docker, edge_files.STATIC)["certificatesResolvers"]  # type: ignore[operator]


def test_on_several_nodes_it_orders_no_certificates_and_deploys_say_so(docker: Docker) -> None:
    install(docker, SwarmEdge(nodes=("node1", "node2")))
    assert "certificatesResolvers" not in read(docker, edge_files.STATIC)
    assert any("gets no certificates" in warning for warning in edge_status.lacking(an_app("a.test"), docker.services))


def test_own_certificates_become_secrets(docker: Docker, tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / f"{name}.pem").write_text(f"the {name}")
    file = tmp_path / "edge.json"
    file.write_text('{"certificates": [{"cert": "cert.pem", "key": "key.pem"}]}')
    install(docker, edge_settings.read(file, required=True))
    secrets = docker.stack["secrets"]
    assert docker.files[secrets["key-0"]["name"]] == "the key"  # type: ignore[index]
    tls = read(docker, edge_files.DYNAMIC)["tls"]
    assert tls["certificates"][0]["keyFile"] == "/run/secrets/key-0"  # type: ignore[index]


def test_a_node_that_is_not_there_is_refused_before_anything_changes(docker: Docker) -> None:
    with pytest.raises(ConfigError, match="no node node3"):
        install(docker, SwarmEdge(nodes=("node3",)))
    assert docker.stack == {}


def test_an_edge_that_does_not_start_is_told_with_the_reason(docker: Docker) -> None:
    docker.error, docker.state = "host-mode port already in use", "updating"
    with pytest.raises(EngineFailed, match="already in use"):
        install(docker)


def test_an_update_that_was_paused_fails(docker: Docker) -> None:
    docker.state = "paused"
    with pytest.raises(EngineFailed, match="paused"):
        install(docker)


def test_an_update_that_the_engine_took_back_fails(docker: Docker) -> None:
    docker.state, docker.taken_back = "rollback_completed", True
    with pytest.raises(EngineFailed, match="went back"):
        install(docker)


def test_the_state_of_an_earlier_rollback_is_no_failure(docker: Docker) -> None:
    docker.state = "rollback_completed"
    install(docker)


def test_status_of_a_swarm_without_an_edge(docker: Docker) -> None:
    status = Edge(docker).status()
    assert (status.image, status.well) == ("", False)


def test_status_names_each_domain_and_who_else_claims_it(docker: Docker) -> None:
    install(docker)
    assert Edge(docker).status().well
    for name in ("shop", "copy"):
        docker.services[f"{name}_web"] = labels.labels(an_app("a.test", name=name), maintenance=name == "shop")
    docker.services["of_somebody_else"] = {}
    status = Edge(docker).status()
    assert [(each.host, each.service, each.also) for each in status.domains] == [("a.test", "shop_web", ("copy_web",))]
    assert status.domains[0].maintenance
    assert not status.well


def test_a_deploy_without_an_edge_warns(docker: Docker) -> None:
    assert "edge install" in edge_status.lacking(an_app("a.test"), docker.services)[0]
    install(docker)
    assert edge_status.lacking(an_app("a.test"), docker.services) == []


def test_uninstall_leaves_the_network_of_the_apps(docker: Docker) -> None:
    install(docker)
    Edge(docker).uninstall()
    assert docker.files == {}
    assert not any(docker.nodes.values())
    assert docker.networks == [labels.NETWORK]


def test_an_engine_that_has_just_written_to_a_node_is_asked_again(docker: Docker) -> None:
    docker.overtaken = 2
    install(docker)
    assert docker.nodes == {"node1": True, "node2": False}
    docker.overtaken = 2
    install(docker, SwarmEdge(nodes=("node2",)))
    assert docker.nodes == {"node1": False, "node2": True}
    docker.overtaken = 2
    Edge(docker).uninstall()
    assert not any(docker.nodes.values())


@pytest.mark.parametrize("text", ['{"bind": "192.0.2.1"}', '{"state": "x"}', '{"image": "a b"}', '{"node": []}'])
def test_a_field_that_is_wrong_on_a_swarm_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "edge.json").write_text(text)
    with pytest.raises(ConfigError):
        edge_settings.read(tmp_path / "edge.json", required=True)


def test_an_image_may_be_named_on_the_command_line() -> None:
    assert edge_settings.changed(SwarmEdge(), {"image": "traefik:lab"}).image == "traefik:lab"
    with pytest.raises(ConfigError, match="image"):
        edge_settings.changed(SwarmEdge(), {"image": "-x"})
    assert msgspec.to_builtins(SwarmEdge())["image"] == edge_settings.TRAEFIK
