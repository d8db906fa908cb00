"""The daemon's side of the edge, against an edge in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.opening import Options
from slot_machine.core.config_file import parse
from slot_machine.core.errors import ConfigError, EdgeGone, EdgeRefused, SlotMachineError
from slot_machine.daemon.edge_link import Domains, checked, wish_of
from slot_machine.edge import link
from slot_machine.edge.wire import AppStatus, DomainStatus, Reply, Request, State

FIELDS = '{"start_command": "x", "name": "shop", "domains": ["shop.example"]%s}'


def options(folder: Path, more: str = "", *, proxy: bool = True) -> Options:
    config, _ = parse(FIELDS.replace("%s", more))
    return Options(config, config, folder / "slot-machine.json", folder, folder, proxy, False)


def told(state: State, detail: str = "") -> Reply:
    domain = DomainStatus(domain="shop.example", state=state, detail=detail)
    return Reply(apps=(AppStatus(app="shop", user="root", data="/", port=1, domains=(domain,)),))


class FakeEdge:
    def __init__(self, *answers: Reply | SlotMachineError) -> None:
        self.asked: list[Request] = []
        self.notices: list[str] = []
        self._answers = [*answers]

    def ask(self, request: Request) -> Reply:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Reply):
            return answer
        raise answer

    def certificate_failed(self, what: str) -> None:
        self.notices.append(what)


def handed_in(domains: Domains, times: int) -> list[str]:
    states: list[str] = []
    for _ in range(times):
        asyncio.run(domains.hand_in())
        states += [domain.state for domain in domains.status]
    return states


def test_a_failure_is_told_once_until_it_is_over(tmp_path: Path) -> None:
    failed = told("failed", "refused")
    edge = FakeEdge(told("waiting"), failed, failed, told("valid"), failed, told("overdue", "late"))
    states = handed_in(Domains(options(tmp_path), edge, edge.ask), 6)
    assert states == ["waiting", "failed", "failed", "valid", "failed", "overdue"]
    assert edge.notices == ["certificate of shop.example: refused"] * 2 + ["certificate of shop.example: late"]


def test_without_an_edge_the_domains_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = EdgeGone("no edge runs on this machine")
    edge = FakeEdge(gone, gone, told("valid"))
    domains = Domains(options(tmp_path), edge, edge.ask)
    assert handed_in(domains, 2) == ["waiting", "waiting"]
    assert domains.status[0].detail == "no edge runs on this machine"
    assert caplog.text.count("no edge runs") == 1
    assert handed_in(domains, 1) == ["valid"]
    assert edge.notices == []


def test_a_refusal_is_in_the_status(tmp_path: Path) -> None:
    edge = FakeEdge(EdgeRefused("shop.example is held by app blog of root"))
    domains = Domains(options(tmp_path), edge, edge.ask)
    assert handed_in(domains, 1) == ["failed"]
    assert "held by app blog" in domains.status[0].detail
    assert len(edge.notices) == 1


def test_the_secret_stays_and_is_private(tmp_path: Path) -> None:
    edge = FakeEdge(told("valid"), told("valid"))
    handed_in(Domains(options(tmp_path), edge, edge.ask), 2)
    first, second = (request.wish.secret for request in edge.asked if request.wish)
    assert first == second == link.secret_of(tmp_path)
    assert len(first) >= 32
    assert link.secret_file(tmp_path).stat().st_mode & 0o777 == 0o600


def test_an_app_that_owns_its_port_gets_no_secret(tmp_path: Path) -> None:
    assert wish_of(options(tmp_path, proxy=False), "s" * 30).secret == ""


def test_a_daemon_without_domains_takes_them_from_the_edge(tmp_path: Path) -> None:
    config, _ = parse('{"start_command": "x"}')
    without = Options(config, config, tmp_path / "slot-machine.json", tmp_path, tmp_path, True, False)
    edge = FakeEdge(Reply())
    asyncio.run(Domains(without, edge, edge.ask).keep())
    assert edge.asked == []
    link.secret_of(tmp_path)
    asyncio.run(Domains(without, edge, edge.ask).keep())
    assert [(request.op, request.data) for request in edge.asked] == [("withdraw", str(tmp_path))]
    assert not link.secret_file(tmp_path).exists()


def test_own_certificates_are_read_by_the_daemon(tmp_path: Path) -> None:
    """With the daemon's rights, not with those of the edge."""
    named = ', "tls": {"cert": "c.pem", "key": "k.pem"}'
    with pytest.raises(ConfigError, match=r"cannot read tls\.cert .*c\.pem: No such file"):
        wish_of(options(tmp_path, named))
    (tmp_path / "c.pem").write_text("certificate")
    (tmp_path / "k.pem").write_text("key")
    wish = wish_of(options(tmp_path, named))
    assert (wish.tls, wish.cert, wish.key) == ("own", "certificate", "key")


def test_a_start_is_refused_if_another_app_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, proxies = EdgeRefused("shop.example is held by app blog of root"), Reply(trusted_proxies=("198.51.100.0/24",))
    edge = FakeEdge(held, EdgeGone("none"), proxies)
    monkeypatch.setattr(link, "ask", edge.ask)
    with pytest.raises(EdgeRefused, match="held by app blog"):
        checked(options(tmp_path))
    assert checked(options(tmp_path)).config.daemon.domains == ("shop.example",)
    trusted = checked(options(tmp_path, ', "trusted_proxies": ["10.0.0.0/8"]')).config.daemon.trusted_proxies
    assert trusted == ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "198.51.100.0/24")
    assert {request.op for request in edge.asked} == {"check"}
