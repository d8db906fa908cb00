"""The daemon as a service: what a service manager is told, and what a stop leaves for the next start."""

from pathlib import Path

from spec.waiting import wait_until

from tests.processes import children_of, kill_daemon
from tests.service_manager import FakeManager
from tests.world import Site, live

RELOADS = 5
OF_THE_SERVICE = (b"NOTIFY_SOCKET=", b"WATCHDOG_", b"LISTEN_")


def variables(pid: int) -> list[bytes]:
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return [variable for variable in environ if variable.startswith(OF_THE_SERVICE)]


def test_manager_follows_start_reloads_and_stop(site: Site) -> None:
    with FakeManager() as manager:
        site.prefix = ("/usr/bin/env", f"NOTIFY_SOCKET={manager.address}", "WATCHDOG_USEC=400000", "LISTEN_FDS=1")
        live(site, setup_command="env > in-setup")
        daemon = site.daemons[-1].process
        manager.wait_for("READY=1")
        manager.wait_for("WATCHDOG=1", 2)
        manager.wait_for(f"STATUS={str(site.status()['live_commit'])[:8]} is live in slot a")
        assert manager.words().index("STATUS=starting") < manager.words().index("READY=1")
        assert "NOTIFY_SOCKET" not in (site.data / "slot-a/in-setup").read_text()
        assert "WATCHDOG" not in (site.data / "slot-a/in-setup").read_text()
        one_off = site.run("run", "--", "env").stdout
        assert "SLOT_MACHINE_SLOT=a" in one_off
        assert not [line for line in one_off.encode().splitlines() if line.startswith(OF_THE_SERVICE)]

        for number in range(1, RELOADS + 1):
            manager.forget()
            assert site.run("reload").returncode == 0
            manager.wait_for("READY=1", 2)
            reloading, *ends = (words for words in manager.told if words[0] in ("RELOADING=1", "READY=1"))
            assert reloading[1].startswith("MONOTONIC_USEC=")
            assert [end[0] for end in ends] == ["READY=1"] * 2
            assert (site.status()["reloads"], daemon.poll()) == (number, None)
            children = children_of(daemon.pid, "")
            assert len(children) >= 2
            assert [variables(child) for child in children] == [[]] * len(children)

        manager.forget()
        assert site.post("/reload", {}).status == 202
        daemon.terminate()
        assert daemon.wait(20) == 0
        assert "STOPPING=1" in manager.words()
        assert "EXTEND_TIMEOUT_USEC=60000000" in manager.words()[manager.words().index("STOPPING=1") :]


def test_refused_reload_is_told_to_be_over(site: Site) -> None:
    with FakeManager() as manager:
        site.prefix = ("/usr/bin/env", f"NOTIFY_SOCKET={manager.address}")
        site.start()
        manager.forget()
        (site.repo / "slot-machine.json").write_text("{")

        assert site.post("/reload", {}).status == 422

        manager.words()
        assert [words[0] for words in manager.told] == ["RELOADING=1", "READY=1"]


def test_stop_by_signal_forgets_nothing(site: Site) -> None:
    """As in two reboots: systemd sends SIGTERM to the daemon, and starts it again."""
    live(site)
    for _ in range(2):
        assert site.daemons[-1].stop() == 0
        site.start()
        wait_until("the app is back", lambda: site.get() == (200, "good"))
    kill_daemon(site)
    site.start()
    assert site.serving() == "good"
