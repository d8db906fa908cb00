"""`edge` where slot-machine.json has an `engine`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine import __main__ as program
from slot_machine.cli.cluster import edge as command
from slot_machine.engines.swarm.edge_settings import SwarmEdge
from slot_machine.engines.swarm.edge_status import Domain, EdgeStatus, Task

WELL = EdgeStatus(
    image="traefik:v3.7",
    nodes=["node1"],
    orders=True,
    tasks=[Task("api", "node1", "Running 1 minute ago"), Task("traefik", "node1", "Running 1 minute ago")],
    domains=[Domain("shop.test", "shop_web", maintenance=True), Domain("*", "blog_web", maintenance=False)],
)


class FakeEdge:
    def __init__(self) -> None:
        self.installed: list[SwarmEdge] = []
        self.answer = WELL

    def install(self, edge: SwarmEdge) -> Iterator[str]:
        self.installed.append(edge)
        yield "deploy"

    def status(self) -> EdgeStatus:
        return self.answer


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEdge:
    monkeypatch.delenv("SLOT_MACHINE_APP", raising=False)
    monkeypatch.chdir(tmp_path)
    wanted(tmp_path, {"kind": "swarm"})
    fake = FakeEdge()
    monkeypatch.setattr(command, "Edge", lambda _: fake)
    return fake


def wanted(folder: Path, engine: dict[str, str]) -> None:
    (folder / "slot-machine.json").write_text(json.dumps({"start_command": "x", "engine": engine}))


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int | str | None:
    with monkeypatch.context() as patched:
        patched.setattr("sys.argv", ["slot-machine", "edge", *args])
        patched.setattr("slot_machine.host.printing.guard", lambda: None)
        try:
            program.main()
        except SystemExit as end:
            return end.code
    return 0


@pytest.mark.usefixtures("edge")
def test_status_shows_where_it_runs_and_all_domains(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not run(monkeypatch, "status")
    assert capfd.readouterr().out.splitlines() == [
        "edge      traefik:v3.7 on node1",
        "  api     node1  Running 1 minute ago",
        "  traefik node1  Running 1 minute ago",
        "  https://shop.test  shop_web  under maintenance",
        "  http://…, any host  blog_web",
    ]


def test_status_of_an_edge_that_does_not_run_exits_with_3(
    edge: FakeEdge, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    edge.answer = EdgeStatus(image="", nodes=[], orders=False, tasks=[], domains=[])
    assert run(monkeypatch, "status", "--json") == 3
    assert json.loads(capfd.readouterr().out)["well"] is False
    edge.answer = WELL
    assert not run(monkeypatch, "status", "--json")
    shown = json.loads(capfd.readouterr().out)["edge"]
    assert shown["tasks"][0] == {
        "service": "api",
        "node": "node1",
        "state": "Running 1 minute ago",
        "error": "",
        "id": "",
    }


def test_settings_are_read_beside_slot_machine_json_and_images_may_be_named(
    edge: FakeEdge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "edge.json").write_text('{"acme_email": "ops@shop.test", "nodes": ["node1"]}')
    assert not run(monkeypatch, "install", "--image", "traefik:lab")
    [installed] = edge.installed
    assert (installed.acme_email, installed.nodes, installed.image) == ("ops@shop.test", ("node1",), "traefik:lab")


@pytest.mark.usefixtures("edge")
@pytest.mark.parametrize("name", ["start", "check", "upgrade"])
def test_what_is_for_one_machine_is_refused_with_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, name) == 1
    error = capfd.readouterr().err
    assert f"`edge {name}` is for one machine" in error
    assert "hint:" in error


@pytest.mark.usefixtures("edge")
def test_kubernetes_has_no_edge_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted(tmp_path, {"kind": "kubernetes", "registry": "registry.test"})
    assert run(monkeypatch, "status") == 1
    assert "ingress" in capfd.readouterr().err


def test_images_and_uninstall_are_for_a_swarm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLOT_MACHINE_APP", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "install", "--image", "x") == 2
    assert run(monkeypatch, "uninstall") == 2
    assert "slot-machine.json has no `engine`" in capfd.readouterr().err
