"""Hooks and notices of a real daemon."""

import json
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.listener import Listener
from tests.world import Site, live


def told(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_deploys_and_a_crash_are_told_to_hooks_and_addresses(site: Site) -> None:
    with Listener() as listener:
        out = site.folder / "told"
        (site.repo / "ignored").write_text(f"OPS=http://{listener.address}/secret\nTOKEN=a-long-secret\n")
        hook = f"tee -a {out} >> {out}.env && echo >> {out} && env > {out}.env"
        hooks = {"deploy_succeeded": hook, "deploy_failed": f"{hook}; echo no use of $TOKEN >&2; exit 3"}
        live(site, env_file="ignored", notify=["$OPS", "http://127.0.0.1:1/x"], hooks=hooks)
        assert site.post("/deploy", {"commit": site.commit("bad", exit=True)}).status == 500

        wait_until("both hooks", lambda: len(told(out)) == 2, 20)
        assert [notice["event"] for notice in told(out)] == ["deploy_succeeded", "deploy_failed"]
        assert {notice["app"] for notice in told(out)} == {"repo"}
        env = Path(f"{out}.env")
        wait_until("the app's environment", lambda: "TOKEN=a-long-secret" in env.read_text(), 20)

        def posted() -> list[str]:
            return [json.loads(body)["event"] for body in listener.got]

        wait_until("four notices", lambda: len(posted()) == 4, 20)
        assert posted() == ["deploy_started", "deploy_succeeded", "deploy_started", "deploy_failed"]

        def receivers() -> dict[str, str]:
            known = site.status()["notify"]
            assert isinstance(known, list)
            return {receiver["target"]: receiver["error"] for receiver in known}

        wait_until("the failed hook", lambda: receivers().get("hook deploy_failed"), 20)
        assert receivers()["hook deploy_failed"] == "exit code 3: no use of [TOKEN]"
        assert receivers()["$OPS"] == ""
        assert receivers()["http 2"] == "cannot connect: Connection refused"
        assert "secret" not in site.daemons[-1].log.read_text()

        done = site.run("notify", "test")
        assert (done.returncode, done.stdout) == (
            1,
            "$OPS: told\nhttp 2: cannot connect: Connection refused\n",
        )
        assert posted()[-1] == "test"


def test_test_without_an_address(idle_site: Site) -> None:
    done = idle_site.run("notify", "test")

    assert done.returncode == 1
    assert "nobody is told" in done.stderr


@pytest.mark.parametrize(("address", "warned"), [("https://hooks.example/T0/abc123def456ghi7", True), ("$OPS", False)])
def test_secret_in_a_file_that_git_has(site: Site, address: str, warned: bool) -> None:
    (site.repo / ".gitignore").write_text(".slot-machine\n")
    site.config["notify"] = [address]
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
    site.commit("one")
    site.start()

    assert ("notify in it has a secret" in site.daemons[-1].log.read_text()) is warned
