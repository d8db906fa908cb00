"""The text of a unit."""

import shutil
from pathlib import Path

import pytest

from slot_machine.cli.service.systemd import Systemd
from slot_machine.cli.service.unit import NAME, Service, data_of, named, text_of
from slot_machine.core.service_variables import OF_ONE_PROCESS

SERVICE = Service(
    name="shop",
    user="daemon",
    folder=Path("/"),
    executable=Path("/bin/true"),
    options=(),
    path="/usr/bin:/bin",
    data=Path("/srv/shop/.slot-machine"),
    repo=Path("/srv/shop"),
    ports=(3000,),
)
ROOTS = SERVICE._replace(user="root", ports=(80,))
OF_A_USER = SERVICE._replace(user="")
ODD = SERVICE._replace(
    name="a.b", executable=Path("/bin/true"), options=('--repo=/srv/100% $HOME "it\'s"',), path="/opt/a b:/bin"
)

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")


def lines(service: Service) -> list[str]:
    return text_of(service).splitlines()


@needs_analyze
@pytest.mark.parametrize("service", [SERVICE, ROOTS, OF_A_USER, ODD], ids=["user", "root", "user-unit", "odd"])
def test_systemd_takes_it(service: Service) -> None:
    assert Systemd(of_user=not service.user).complaints(service.unit, text_of(service)) == ""


@needs_analyze
def test_systemd_complains_of_a_program_that_is_missing() -> None:
    text = text_of(SERVICE).replace("ExecStart=/bin/true", "ExecStart=/missing/program")
    complaints = Systemd(of_user=False).complaints(SERVICE.unit, text)
    assert "slot-machine-shop.service" in complaints


def test_words_are_quoted() -> None:
    assert 'ExecStart=/bin/true start "--repo=/srv/100%% $$HOME \\"it\'s\\""' in lines(ODD)
    assert 'Environment="PATH=/opt/a b:/bin"' in lines(ODD)


def test_users_unit_has_no_line_that_needs_root() -> None:
    assert not [line for line in lines(OF_A_USER) if line.startswith(("User=", "Protect", "Ambient", "Requires"))]
    assert "WantedBy=default.target" in lines(OF_A_USER)


def test_nothing_implies_no_new_privileges_for_another_user() -> None:
    """sudo and ping must work in the app; systemd combines all Protect* lines but these with NoNewPrivileges=."""
    harmless = {"ProtectSystem=full"}
    assert {line for line in lines(SERVICE) if line.startswith(("Protect", "NoNew", "Restrict", "System"))} == harmless
    assert not [line for line in lines(ROOTS) if line.startswith("NoNewPrivileges")]


def test_low_port_needs_a_capability_without_root() -> None:
    capability = "AmbientCapabilities=CAP_NET_BIND_SERVICE"
    assert capability not in lines(SERVICE)
    assert capability in lines(SERVICE._replace(ports=(3000, 80)))
    assert capability not in lines(ROOTS)


def test_folders_below_read_only_ones_stay_writable() -> None:
    assert "ReadWritePaths=/usr/local/shop" in lines(SERVICE._replace(repo=Path("/usr/local/shop")))
    assert not [line for line in lines(SERVICE) if line.startswith("ReadWritePaths")]


def test_what_systemd_adds_for_the_unit_does_not_reach_the_app() -> None:
    assert "RuntimeDirectory=slot-machine-shop" in lines(SERVICE)
    assert "RUNTIME_DIRECTORY" in OF_ONE_PROCESS


def test_only_a_systemd_that_knows_subgroups_is_asked_for_one() -> None:
    assert "DelegateSubgroup=slot-machine" not in lines(SERVICE)
    assert "DelegateSubgroup=slot-machine" in lines(SERVICE._replace(has_subgroups=True))


def test_whose_it_is() -> None:
    assert data_of(text_of(SERVICE)) == "/srv/shop/.slot-machine"
    assert data_of("[Service]\nExecStart=/bin/true\n") == ""


@pytest.mark.parametrize(
    ("app", "name"),
    [("shop", "shop"), ("my shop/x", "my-shop-x"), (".hidden", "hidden"), ("ü", "app"), ("a" * 300, "a" * 100)],
)
def test_app_of_any_name_has_a_unit(app: str, name: str) -> None:
    assert named(app) == name
    assert NAME.fullmatch(name)


def test_docs_explain_each_line() -> None:
    page = (Path(__file__).parents[3] / "docs" / "service.md").read_text()
    variants = (SERVICE, ROOTS, OF_A_USER, ODD, SERVICE._replace(ports=(80,), repo=Path("/usr/x"), has_subgroups=True))
    settings = {line.partition("=")[0] for each in variants for line in lines(each) if "=" in line}
    well_known = {"Description", "WorkingDirectory", "WantedBy"}
    assert {name for name in settings - well_known if f"{name}=" not in page} == set()


def test_what_the_promises_depend_on() -> None:
    """The tests in a real systemd shorten the watchdog's time, which must not be shorter in the unit."""
    for line in ("Type=notify", "KillMode=process", "Delegate=yes", "OOMPolicy=continue", "Restart=always"):
        assert line in lines(SERVICE)
    (watchdog,) = (line for line in lines(SERVICE) if line.startswith("WatchdogSec="))
    assert int(watchdog.removeprefix("WatchdogSec=")) >= 60
