"""A daemon whose webhook is called: by the way of each forge, after a reload, and without a secret."""

import hashlib
import hmac
import http.client
import json
import socket

import pytest
from spec.ports import free_port
from spec.waiting import wait_until

from tests.world import Site

SECRET = "a-secret-of-some-length"
NEVER = {"remote": ".", "branch": "main", "every_s": 86400}
"""Only a call makes it look, after the first look. The repository follows itself."""
BODY = b'{"after": "0000000000000000000000000000000000000000"}'


def post(port: int, fields: dict[str, str], body: bytes = BODY) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/.slot-machine/hook", body, fields)
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply.status


def signed() -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()}"}


def set_up(site: Site, **more: object) -> int:
    """Returns the webhook's port."""
    port = free_port()
    (site.repo / ".env").write_text(f"HOOK_SECRET={SECRET}\n")
    (site.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\n.env\n")
    site.config |= {
        "env_file": ".env",
        "follow": NEVER,
        "webhook": {"secret_env": "HOOK_SECRET"} | more,
        "webhook_port": port,
    }
    return port


def is_live(site: Site, commit: str) -> None:
    wait_until(f"{commit} is live", lambda: site.status()["live_commit"] == commit and site.status()["running"] == "")


def said(site: Site, *argv: str) -> str:
    return " ".join(site.run(*argv).stdout.split())


def test_call_makes_it_look_also_after_a_reload_and_can_choose_no_commit(site: Site) -> None:
    port = set_up(site)
    site.start()
    first = site.commit("first")
    assert post(port, signed()) == 202
    is_live(site, first)
    assert f"http://127.0.0.1:{site.port}" not in said(site, "webhook")
    assert f":{port}/.slot-machine/hook, called" in said(site, "status")
    assert json.loads(site.run("webhook", "--json").stdout)["secret_env"] == "HOOK_SECRET"

    assert site.post("/reload").status == 202
    wait_until("it has reloaded", lambda: site.status()["reloads"] == 1)
    second = site.commit("second")
    assert post(port, {"X-Gitlab-Token": SECRET}) == 202
    is_live(site, second)
    site.commit("third")
    assert post(port, {"X-Gitlab-Token": SECRET + "!"}) == 401
    assert post(port, {}) == 401
    assert "2 refused, last" in said(site, "status")
    assert site.status()["live_commit"] == second
    assert SECRET not in site.daemons[-1].log.read_text()


@pytest.mark.parametrize("text", ["", "HOOK_SECRET=\n", "HOOK_SECRET='  '\n"])
def test_without_a_secret_it_refuses_to_start(site: Site, text: str) -> None:
    set_up(site)
    (site.repo / ".env").write_text(text)
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
    done = site.run("start")
    assert done.returncode == 1
    assert "HOOK_SECRET is set neither in env_file nor in the daemon's environment" in done.stderr


def test_reload_that_takes_the_secret_away_is_refused_and_all_goes_on(site: Site) -> None:
    port = set_up(site)
    first = site.commit("first")
    site.start()
    is_live(site, first)
    (site.repo / ".env").write_text("")
    reply = site.post("/reload")
    assert reply.status == 422
    assert "nothing was reloaded: the webhook has no secret" in str(reply.body["error"])
    assert post(port, signed()) == 202


def test_reload_opens_moves_and_closes_the_port(site: Site) -> None:
    port, other = set_up(site), free_port()

    def reload(webhook: dict[str, object] | None, port: int, number: int) -> None:
        config = site.config | {"webhook": webhook, "webhook_port": port if webhook else 0}
        (site.repo / "slot-machine.json").write_text(json.dumps(config))
        assert site.post("/reload").status == 202
        wait_until("it has reloaded", lambda: site.status()["reloads"] == number)

    hook: dict[str, object] = {"secret_env": "HOOK_SECRET"}
    site.commit("first")
    site.start()
    reload(hook, other, 1)
    assert post(other, signed()) == 202
    reload(None, 0, 2)
    for closed in (port, other):
        with pytest.raises(ConnectionRefusedError):
            post(closed, signed())
    assert site.run("webhook").returncode == 1
    reload(hook | {"domain": "hooks.example.com"}, 0, 3)
    found = site.status()["webhook"]
    assert isinstance(found, dict)
    assert found["url"] == "https://hooks.example.com/.slot-machine/hook"
    assert post(int(found["port"]), signed()) == 202


def test_port_that_is_taken_is_refused_at_the_start(site: Site) -> None:
    with socket.create_server(("", set_up(site))):
        (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
        done = site.run("start")
    assert done.returncode == 1
    assert f"port {site.config['webhook_port']}" in done.stderr
