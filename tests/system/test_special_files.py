"""What the configuration names, and is no file: refused with the reason, and nothing hangs."""

import os

from spec.waiting import wait_until

from tests.world import Site, live


def test_env_file_that_is_a_fifo(site: Site) -> None:
    env_file = site.repo / "ignored"
    env_file.touch()
    live(site, env_file="ignored")
    env_file.unlink()
    os.mkfifo(env_file)
    site.commit("next")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert reply.status == 500
    assert f"cannot read env_file {env_file}: it is a FIFO, not a file" in str(reply.body["error"])
    assert site.serving() == "good"


def test_log_of_a_slot_that_is_a_fifo(site: Site) -> None:
    live(site)
    os.mkfifo(site.data / "slot-b.log")
    site.commit("next")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert reply.status == 500
    assert "it is a FIFO, not a file" in str(reply.body["error"])
    assert site.serving() == "good"


def test_configuration_that_is_a_fifo(site: Site) -> None:
    os.mkfifo(site.repo / "slot-machine.json")

    refused = site.run("start")

    assert refused.returncode == 1
    assert "it is a FIFO, not a file" in refused.stderr


def test_access_log_that_is_a_fifo(site: Site) -> None:
    os.mkfifo(site.repo / "log")
    daemon = site.launch(access_log="log")

    assert daemon.process.wait(20) == 1
    assert "cannot use access_log" in daemon.log.read_text()
    assert "it is a FIFO, not a file" in daemon.log.read_text()


def test_access_log_that_becomes_a_fifo(site: Site) -> None:
    """Its lines are lost, and said to be; the worker retires all the same."""
    live(site, access_log="log")
    (site.repo / "log").unlink(missing_ok=True)
    os.mkfifo(site.repo / "log")
    assert site.serving() == "good"
    daemon = site.daemons[-1]

    assert daemon.stop() == 0

    assert "lines of the access log" in daemon.log.read_text()


def test_access_log_on_standard_output(site: Site) -> None:
    shown = site.folder / "shown"
    site.prefix = ("/bin/bash", "-c", f'exec "$@" &> >(cat > {shown})', "bash")
    live(site, access_log="/dev/stdout")

    assert site.serving() == "good"

    wait_until("the line is there", lambda: '"target":"/"' in shown.read_text())
