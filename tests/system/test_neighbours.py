"""Another program of the machine that listens where the app should. As root, it is another user's."""

import json
import os
import re

import pytest
from spec.ports import free_port
from spec.waiting import wait_until

from slot_machine.app.another_port import STARTS
from slot_machine.host.process import cgroup, containment
from tests.neighbours import UID, deploying, neighbour, neighbours, port_of
from tests.processes import groups, kill
from tests.users import CAN_BE_NOBODY, NOBODY, PYTHON
from tests.world import Site, live, serves

LINUX = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


BOOTS_ONCE = "test -e booted && sleep 600; touch booted; exec"
"""Later starts in the same tree never listen."""


@pytest.fixture(autouse=True)
def patient(site: Site) -> None:
    """Also on a busy machine, the neighbour is there before the time of a start is over."""
    site.config["health_timeout_ms"] = 60_000


def starts(site: Site, version: str) -> int:
    """As its log tells."""
    slots = [path.read_text() for path in site.data.glob("slot-?.log")]
    return sum(text.count(f"booting {version}\n") for text in slots)


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
@pytest.mark.parametrize("name", ["PORT", "INTERNAL_PORT"])
def test_app_whose_port_a_neighbour_takes_is_started_on_another_one(site: Site, strategy: str, name: str) -> None:
    separate = {"internal_port": free_port()} if name == "INTERNAL_PORT" else {}
    live(site, strategy=strategy, **separate)
    commit = site.commit("slow to boot", waits=True)

    with deploying(site) as reply:
        wait_until("it boots", lambda: starts(site, "slow to boot") == 1)
        port = port_of(site, commit, name)
        with neighbour(port) as pid:
            wait_until("it is started again", lambda: port_of(site, commit, name) not in (0, port))
            (site.data / "go").touch()
            status, body = reply.result()
            assert site.serving() == "slow to boot"

    assert status == 200, body
    last, warning = site.history()[-1], str(body["warnings"])
    assert (last["result"], last["error"]) == ("succeeded", "")
    assert json.loads(str(last["warnings"])) == body["warnings"]
    assert f"port {port} " in warning
    assert f"pid {pid} " in warning
    assert f"uid {UID}" in warning
    assert starts(site, "slow to boot") == 2
    assert site.status()["restarts"] == 0


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
def test_deploy_fails_if_neighbours_take_the_port_of_each_start(site: Site, strategy: str) -> None:
    live(site, strategy=strategy)
    commit = site.commit("slow to boot", waits=True)

    with neighbours(site, commit) as pids, deploying(site) as reply:
        status, body = reply.result()

    assert (status, body["stage"]) == (500, "health"), body
    assert len(pids) == STARTS
    assert f"pid {pids[-1]} " in str(body["error"])
    assert str(pids[-1]) in str(body["hint"])
    assert [f"pid {pid} " in str(body["warnings"]) for pid in pids] == [True, True, False]
    wait_until("the live version is back", lambda: serves(site))
    assert site.serving() == "good"


def test_public_port_is_given_so_there_is_no_other_start(site: Site) -> None:
    site.start("--no-proxy")
    commit = site.commit("slow to boot", waits=True)

    with deploying(site) as reply:
        wait_until("it boots", lambda: starts(site, "slow to boot") == 1)
        port = port_of(site, commit)
        with neighbour(port) as pid:
            status, body = reply.result()

    assert (status, body["stage"], body["warnings"]) == (500, "health", []), body
    assert f"pid {pid} " in str(body["error"])
    assert (port, starts(site, "slow to boot")) == (site.port, 1)


@pytest.mark.skipif(not CAN_BE_NOBODY, reason="takes root to be another user")
def test_neighbour_that_reads_where_the_app_runs_is_not_taken_for_it(site: Site) -> None:
    """The kernel shows the names of control groups to all users."""
    live(site)
    before = set(groups(site))
    commit = site.commit("slow to boot", waits=True)

    with deploying(site) as reply:
        port = wait_until("it boots", lambda: port_of(site, commit))
        new = set(groups(site)) - before
        if not new:
            (site.data / "go").touch()
            pytest.skip("no control group can be made here")
        with neighbour(port, env={containment.MARK: new.pop().removeprefix(cgroup.GROUP_PREFIX)}) as pid:
            wait_until("it is started again", lambda: port_of(site, commit) not in (0, port))
            (site.data / "go").touch()
            status, body = reply.result()

    assert status == 200, body
    assert f"pid {pid} " in str(body["warnings"])


def test_neighbour_at_the_port_of_an_app_that_starts_again_gets_no_visitor(site: Site) -> None:
    commit = live(site, start_command=f"{BOOTS_ONCE} {site.config['start_command']}", setup_command="rm -f booted")
    pid = int(site.get("/pid")[1])

    with neighbours(site, commit) as pids:
        kill(pid)
        wait_until("that failed", lambda: any(f"pid {pid} " in str(site.status()["last_exit"]) for pid in pids))

        assert site.get()[0] == 503
    assert not site.status()["healthy"]


def test_neighbour_at_the_port_of_a_rollback_gets_no_visitor(site: Site) -> None:
    first = live(site, start_command=f"{BOOTS_ONCE} {site.config['start_command']}", setup_command="rm -f booted")
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    with neighbours(site, first) as pids, deploying(site, "/rollback") as reply:
        status, body = reply.result()

    assert (status, body["stage"]) == (500, "health"), body
    assert f"pid {pids[-1]} " in str(body["error"])
    assert site.serving() == "second"


def test_neighbour_that_listens_where_the_live_app_no_longer_does_is_named(site: Site) -> None:
    commit = live(site, health_interval_ms=100)
    site.get("/retreat")

    with neighbour(port_of(site, commit)) as pid:
        wait_until("it is found", lambda: f"pid {pid} " in str(site.status()["unhealthy_reason"]))


@pytest.mark.skipif(LINUX < (6, 8), reason="the kernel does not list sockets that are bound and do not listen")
def test_app_that_exits_as_its_port_is_taken_is_started_on_another_one(site: Site) -> None:
    live(site)
    commit = site.commit("waits", waits=True)

    with deploying(site) as reply, neighbour(wait_until("it boots", lambda: port_of(site, commit)), "bind") as pid:
        (site.data / "go").touch()
        status, body = reply.result()

    assert (status, site.serving(), starts(site, "waits")) == (200, "waits", 2), body
    assert "exit code 1" in str(body["warnings"])
    assert f"pid {pid} " in str(body["warnings"])


@pytest.mark.skipif(not CAN_BE_NOBODY, reason="takes root to be another user")
def test_app_of_another_user_is_no_doubt_to_a_daemon_that_sees_all(site: Site) -> None:
    site.start(start_command=f"exec setpriv --reuid={NOBODY} {PYTHON} -IS - < app.py")
    site.commit("v1")

    assert site.post("/deploy", {"commit": "HEAD"}).says(200, {"warnings": []})
