"""`bind`: the public port listens on one address only, whatever happens to the daemon."""

import json
import socket

from tests.processes import kill_daemon
from tests.world import Site


def accepts(site: Site, host: str) -> bool:
    try:
        socket.create_connection((host, site.port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def reachable(site: Site) -> tuple[bool, bool]:
    return accepts(site, "127.0.0.1"), accepts(site, "127.0.0.2")


def test_port_that_listens_on_one_address(site: Site) -> None:
    site.start(bind="127.0.0.1")
    site.commit("one")
    assert site.run("deploy").returncode == 0
    assert reachable(site) == (True, False)

    assert site.run("reload").returncode == 0
    assert reachable(site) == (True, False)
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"bind": ""}))
    assert "a reload can't change bind" in site.run("reload").stderr

    kill_daemon(site)
    site.start(bind="127.0.0.2")
    assert reachable(site) == (True, False)
    assert "still listens on 127.0.0.1, not on 127.0.0.2" in site.daemons[-1].log.read_text()
    site.daemons[-1].stop()
    site.start()
    assert reachable(site) == (False, True)
    assert f"ready: app on 127.0.0.2 port {site.port} (proxy)" in site.daemons[-1].log.read_text()


def test_app_that_owns_its_port_decides_itself_where_it_listens(site: Site) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"bind": "127.0.0.1"}))

    refused = site.run("start", "--no-proxy")

    assert refused.returncode == 1
    assert "bind needs the proxy" in refused.stderr
