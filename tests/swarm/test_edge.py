"""The edge of a swarm, for real: Traefik on both nodes, HAProxy before the engine's API."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.core.engine_config import SWARM_DELAY_MS, Swarm
from slot_machine.core.errors import EngineFailed, Impossible
from slot_machine.engines.swarm import edge_files, labels
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.engine import SwarmEngine
from tests.swarm import edges
from tests.swarm.edges import Web, curl
from tests.swarm.lab import OWN, Lab
from tests.swarm.node import Node

UPDATES = 10
HOST = "any.test"
AUTHORITY = OWN
HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: any.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture(scope="module")
def edge(lab: Lab) -> Iterator[Lab]:
    lab.provide_program("traefik", edges.TRAEFIK)
    lab.provide_program("haproxy", edges.HAPROXY)
    edges.install(lab)
    yield lab
    edges.of(lab).uninstall()


@pytest.fixture
def shop(edge: Lab) -> Iterator[Web]:
    """Answers for any host."""
    web = Web(edge, "shop")
    answers(edge, "v0")
    yield web
    web.remove()


def answers(lab: Lab, text: str, host: str = HOST) -> None:
    """Waits until both nodes answer so."""
    for number in range(len(lab.nodes)):
        lab.until(f"{host} is {text}", lambda number=number: text in curl(lab, host=host, node=number))  # type: ignore[misc]


def test_rolling_updates_lose_no_request_though_the_app_exits_at_once(edge: Lab, shop: Web) -> None:
    with edge.load(HOST) as load:
        load.more("v0")
        for number in range(1, UPDATES + 1):
            shop.deploy(f"v{number}")
            load.more(f"v{number}")
    print(load.account(), f"p99 {load.p99_ms:.0f} ms")
    assert not load.failures, load.account()
    assert set(load.answers) == {f"v{number}" for number in range(UPDATES + 1)}


def test_the_default_delay_saves_a_slow_request_of_an_app_that_exits_at_once(edge: Lab) -> None:
    web = Web(edge, "slow", delay_s=SWARM_DELAY_MS / 1000)
    answers(edge, "v0")
    over = threading.Event()
    heads: list[str] = []

    def ask() -> None:
        while not over.is_set():
            heads.append(curl(edge, "/slow").partition("\n")[0])

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for thread in asking:
        thread.start()
    try:
        web.deploy("v1")
        edge.until("the old copies have ended", lambda: _copies(edge, web, *edge.nodes) == 2)
    finally:
        over.set()
        for thread in asking:
            thread.join()
        web.remove()
    assert set(heads) == {"HTTP/1.1 200 OK"}, heads


def test_a_rollout_needs_no_answer_of_the_engine(edge: Lab, shop: Web) -> None:
    docker, api = edge.manager.docker, f"{edge_files.STACK}_{edge_files.API}"
    with edge.load(HOST) as load:
        docker("service", "scale", "--detach", f"{api}=0")
        edge.until("the proxy has ended", lambda: not docker("ps", "--quiet", "--filter", f"name={api}"))
        shop.deploy("v1")
        load.more("v1")
    docker("service", "scale", "--detach", f"{api}=1")
    shop.label(maintenance=True)
    answers(edge, "503 Service Unavailable")
    assert not load.failures, load.account()


def test_a_websocket_outlives_the_rollout_while_its_copy_drains(edge: Lab) -> None:
    web = Web(edge, "chat", abrupt=False)
    answers(edge, "v0")
    with socket.create_connection((edge.manager.address, 80), 10) as client:
        client.sendall(HANDSHAKE.encode())
        assert b"101 Switching" in client.recv(4096)
        began = threading.Event()
        said: list[bytes] = []

        def talk() -> None:
            while not began.is_set():
                client.sendall(b"x")
                said.append(client.recv(1))
                time.sleep(0.1)

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            # All new copies are there, and the old one that has the WebSocket ends only with it.
            web.version = "v1"
            edge.manager.docker("service", "update", "--detach", "--env-add", "VERSION=v1", web.name)
            edge.until("v1 answers", lambda: "v1" in curl(edge))
            edge.until("the engine has sent SIGTERM", lambda: _ending(edge, web))
            before = len(said)
            edge.until("it still echoes", lambda: len(said) > before + 5)
        finally:
            began.set()
            talking.join()
    assert set(said) == {b"x"}
    edge.until("all old copies have ended", web.runs)
    web.remove()


def _ending(lab: Lab, web: Web) -> bool:
    """Whether a copy is to end, and still runs."""
    listed = lab.manager.docker(
        *("service", "ps", "--filter", "desired-state=shutdown", "--format", "{{.CurrentState}}", web.name)
    )
    return any(line.startswith("Running") for line in listed.splitlines())


def test_a_domain_comes_and_goes_without_loss_on_another_app(edge: Lab, shop: Web) -> None:
    with edge.load(HOST) as load:
        blog = Web(edge, "blog", "blog.test")
        edge.until("blog.test is redirected", lambda: "301" in curl(edge, host="blog.test"))
        blog.label("news.test")
        answers(edge, "https://news.test/", host="news.test")
        answers(edge, shop.version, host="blog.test")
        blog.remove()
        answers(edge, shop.version, host="news.test")
        load.more(shop.version)
    assert not load.failures, load.account()


def test_a_domain_that_another_service_has_is_refused_by_its_name(edge: Lab) -> None:
    blog = Web(edge, "blog", "blog.test")
    docker = Docker(client=edges.client(edge))
    try:
        warnings = SwarmEngine("blog", Swarm(), docker).refuse(blog.app("blog.test"))
        assert "gets no certificates" in " ".join(warnings), "this edge is on two nodes"
        with pytest.raises(Impossible, match=r"blog_web has blog\.test"):
            SwarmEngine("copy", Swarm(), docker).refuse(blog.app("blog.test", name="copy"))
    finally:
        blog.remove()


def test_maintenance_answers_503_and_a_rollout_keeps_it(edge: Lab, shop: Web) -> None:
    shop.label(maintenance=True)
    answers(edge, "503 Service Unavailable")
    assert "Retry-After: 30" in curl(edge)
    shop.deploy("v1")
    assert "503 Service Unavailable" in curl(edge)
    shop.label()
    answers(edge, "v1")


@pytest.mark.usefixtures("shop")
def test_the_app_is_told_the_clients_address_and_nothing_a_stranger_claims(edge: Lab) -> None:
    claims = ("-H", "X-Request-Id: forged", "-H", "X-Forwarded-For: 1.2.3.4", "-H", "X.Forwarded.For: 1.2.3.4")
    for number in range(2):
        head = curl(edge, "/echo", *claims, node=number)
        assert f"X-Forwarded-For: {OWN}" in head
        assert "X-Forwarded-Proto: http\r" in head or "X-Forwarded-Proto: http\n" in head
        assert "forged" not in head
        assert "1.2.3.4" not in head


def test_a_host_that_nobody_has_is_answered_503(edge: Lab) -> None:
    answers(edge, "503 Service Unavailable", host="nobody.test")
    assert "Retry-After" in curl(edge, host="nobody.test")


def test_a_node_that_is_cut_off_costs_little(edge: Lab, shop: Web) -> None:
    """Visitors of the other node. What fails was under way to a copy on the lost node, or waited for it too long."""
    far = edge.nodes[1]
    with edge.load(HOST, nodes=[edge.manager]) as load:
        load.more(shop.version)
        far.cut()
        try:
            edge.until("it is missed", lambda: edge.states()[far.name] == "Down")
            edge.until("both copies are on the other node", lambda: _copies(edge, shop, edge.manager) == 2)
            load.more(shop.version)
        finally:
            far.mend()
        edge.until("it is back", lambda: edge.states()[far.name] == "Ready")
    print(load.account(), f"p99 {load.p99_ms:.0f} ms")
    failures = load.failures
    assert len(failures) <= sum(load.answers.values()) * 0.05, load.account()
    if failures:
        assert max(each.at_s for each in failures) - min(each.at_s for each in failures) < 30


def _copies(lab: Lab, web: Web, *nodes: Node) -> int:
    """How many run there, those that are to end too."""
    listed = lab.manager.docker("service", "ps", "--format", "{{.Node}} {{.CurrentState}}", web.name).splitlines()
    return sum(line.startswith(f"{node.name} Running") for line in listed for node in nodes)


def test_the_proxy_before_the_engine_passes_on_reads_of_what_the_edge_needs_alone(edge: Lab) -> None:
    docker = edge.manager.docker
    traefik = docker("ps", "--quiet", "--filter", f"name={edge_files.STACK}_traefik").split()[0]
    pid = docker("inspect", "--format", "{{.State.Pid}}", traefik)
    api = docker("ps", "--quiet", "--filter", f"name={edge_files.STACK}_api").split()[0]
    form = f'{{{{(index .NetworkSettings.Networks "{edge_files.API_NETWORK}").IPAddress}}}}'
    address = f"{docker('inspect', '--format', form, api)}:{edge_files.API_PORT}"

    def status(method: str, path: str) -> str:
        argv = ["nsenter", "--target", pid, "--net", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
        argv += ["--max-time", "10", "--path-as-is", "-X", method, f"http://{address}{path}"]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    needed = ("/version", "/v1.41/services", "/v1.41/tasks", "/v1.41/networks")
    assert {path: status("GET", path) for path in needed} == dict.fromkeys(needed, "200")
    refused = (
        "/v1.41/containers/json",
        "/secrets",
        "/v1.41/configs",
        "/info",
        "/v1.41/services/x/logs",
        "/_ping/../info",
    )
    assert {path: status("GET", path) for path in refused} == dict.fromkeys(refused, "403")
    for method in ("POST", "PUT", "DELETE", "PATCH", "CONNECT"):
        assert status(method, "/v1.41/services") in ("403", "400"), method
        assert status(method, "/v1.41/services/create") in ("403", "400"), method


def test_an_installation_that_changes_nothing_restarts_nothing(edge: Lab, shop: Web) -> None:
    before = _containers(edge)
    edges.install(edge)
    assert _containers(edge) == before
    status = edges.of(edge).status()
    assert status.well, status
    assert [(each.host, each.service) for each in status.domains] == [(labels.ANY, shop.name)]


@pytest.mark.usefixtures("shop")
def test_an_edge_whose_image_no_node_has_is_taken_back(edge: Lab) -> None:
    with pytest.raises(EngineFailed, match=r"[Nn]o such image|went back"):
        edges.install(edge, image="traefik:nowhere")
    edge.until("the one before runs again", lambda: edges.of(edge).status().well)
    answers(edge, "v0")
    assert edges.of(edge).status().image == edges.TRAEFIK
    edges.install(edge)


def _containers(lab: Lab) -> list[str]:
    return [node.docker("ps", "--quiet", "--filter", f"name={edge_files.STACK}_") for node in lab.nodes]


def test_certificates_are_ordered_and_kept_for_the_edges_eyes_alone(edge: Lab, tmp_path: Path) -> None:
    """Pebble takes every name for proven: how it looks at a name is tested with the edge of one machine."""
    settings, said = _pebble(tmp_path)
    argv = ["env", "PEBBLE_VA_ALWAYS_VALID=1", "PEBBLE_VA_NOSLEEP=1", "pebble", "-config", str(settings)]
    with said.open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as pebble:
        try:
            edges.install(edge, 1, acme_ca=f"https://{AUTHORITY}:14000/dir", acme_ca_roots=str(tmp_path / "roots.pem"))
            web = Web(edge, "bank", "bank.test")
            edge.until("https answers", lambda: "v0" in curl(edge, "-k", host="bank.test", https=True))
            assert b"Issued certificate" in said.read_bytes()
            assert curl(edge, "-k", host="nobody.test", https=True) == ""
            folder = edge.manager.docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{edge_files.STACK}-acme")
            look = edge.manager.enter("sh", "-c", f"stat -c %a {folder}/acme-*.json")
            assert subprocess.run(look, capture_output=True, text=True, check=True).stdout.split() == ["600"]
            web.remove()
        finally:
            pebble.kill()
            edges.install(edge)


def _pebble(folder: Path) -> tuple[Path, Path]:
    """The file with its settings, and the one for what it says."""
    roots, key = folder / "roots.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(roots),
         "-days", "2", "-subj", "/CN=pebble", "-addext", f"subjectAltName=IP:{AUTHORITY}"],
        check=True, capture_output=True,
    )  # fmt: skip
    listen = {"listenAddress": f"{AUTHORITY}:14000", "managementListenAddress": f"{AUTHORITY}:15000"}
    made = listen | {"certificate": str(roots), "privateKey": str(key), "httpPort": 80, "tlsPort": 443}
    settings = folder / "pebble.json"
    settings.write_text(json.dumps({"pebble": made}))
    return settings, folder / "pebble.log"
