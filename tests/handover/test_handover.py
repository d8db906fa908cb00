"""Two versions of an unmodified app on one port: who gets visitors, and that none is lost when that changes."""

import os
import shutil
import signal
import socket
import sys
from functools import partial

import pytest
from spec.waiting import wait_until

from slot_machine.handover.connections import accept_queue, members_of
from slot_machine.handover.wire import Drained, Forget, Inspect, Listens, Promote, Relay
from tests.handover.conftest import APP, NODE, TIMEOUT_S, Stage, Visitors, app, dial


def refuses(stage: Stage) -> bool:
    try:
        stage.ask()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("ipv4", ["127.0.0.1"]),
        ("any", ["127.0.0.1"]),
        ("ipv6", ["::1"]),
        ("dual", ["127.0.0.1", "::1"]),
        ("two_addresses", ["::1"]),
        ("forked_workers", ["127.0.0.1"]),
        ("worker_sockets", ["127.0.0.1"]),
    ],
)
def test_visitors_keep_to_the_live_version_and_health_checks_to_the_candidate(
    stage: Stage, name: str, hosts: list[str]
) -> None:
    old = stage.first(*app(name))
    new = stage.start(*app(name))

    for host in hosts:
        assert {stage.ask(host=host) for _ in range(20)} == {"1"}
        assert {stage.check(host) for _ in range(20)} == {"2"}
    stage.promote(new)
    for host in hosts:
        assert {stage.ask(host=host) for _ in range(20)} == {"2"}
    stage.retire(old)
    for host in hosts:
        assert {stage.ask(host=host) for _ in range(20)} == {"2"}


@pytest.mark.parametrize("program", ["python", "node"])
def test_no_visitor_is_lost_over_swaps(stage: Stage, program: str) -> None:
    if program == "node" and not shutil.which("node"):
        pytest.skip("needs node")
    command = app("ipv4") if program == "python" else ["/bin/sh", "-c", f"exec node -e '{NODE}'"]
    live = stage.first(*command)
    visitors = Visitors(stage)
    with visitors.running():
        for _ in range(5):
            live = stage.swap(live, *command)
            goal = visitors.answers.total() + 50
            wait_until("visitors go on", partial(visitors.reached, goal))

    assert visitors.failures == []
    assert set(visitors.answers) == {str(version.run_id) for version in stage.versions}


def test_requests_in_flight_hold_the_drain(stage: Stage) -> None:
    old = stage.first(*app("ipv4"))
    with dial("127.0.0.1", stage.port) as slow:
        slow.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        new = stage.start(*app("ipv4"))
        stage.promote(new)

        stage.retire(old)

        assert slow.makefile("rb").read().endswith(b"\r\n\r\n1")


def test_connection_that_nobody_accepted_is_passed_on(stage: Stage) -> None:
    old = stage.first(*app("deaf"))
    with dial("127.0.0.1", stage.port) as waiting:
        waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
        new = stage.start(*app("ipv4"))
        stage.promote(new)
        old.process.kill()
        old.process.wait()

        stage.order(Forget(old.run_id))

        assert waiting.makefile("rb").read().endswith(b"\r\n\r\n2")


def test_app_that_still_accepts_shares_with_the_relay(stage: Stage) -> None:
    """A duplicate has the owner's O_NONBLOCK, so a blocking one must be left to its owner."""
    old = stage.first(*app("ipv4"))
    stage.promote(stage.start(*app("ipv4")))

    stage.order(Relay(old.run_id))

    assert stage.order(Inspect()).live == 2
    assert {stage.ask() for _ in range(20)} == {"2"}


@pytest.mark.parametrize(("first", "second"), [("any", "ipv4"), ("dual", "any"), ("ipv4", "two_addresses")])
def test_another_address_is_refused_and_takes_no_visitor(stage: Stage, first: str, second: str) -> None:
    stage.first(*app(first))
    candidate = stage.launch(*app(second))

    assert candidate.process.wait(TIMEOUT_S) == 1
    assert "where the live version listens on" in stage.order(Listens(candidate.run_id)).error
    assert {stage.ask() for _ in range(20)} == {"1"}


def test_another_program_on_the_port_is_found(stage: Stage) -> None:
    """The kernel would count its socket."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", stage.port))
        stranger.listen()
        candidate = stage.launch(*app("ipv4"))

        assert "another program" in stage.order(Listens(candidate.run_id)).error


def test_app_that_listens_on_what_is_no_socket_takes_nothing_of_the_keeper(stage: Stage) -> None:
    def held() -> int:
        return len(os.listdir(f"/proc/{stage.keeper.pid}/fd"))

    stage.first(*app("ipv4"))
    before = held()
    program = "import ctypes, os; [ctypes.CDLL(None).listen(os.open('/dev/null', 0), 5) for _ in range(50)]"
    assert stage.launch(sys.executable, "-ISc", program).process.wait(TIMEOUT_S) == 0

    wait_until("the keeper has let go of it", lambda: held() <= before)


def test_port_of_a_crashed_app_refuses_at_once_and_its_restart_serves(stage: Stage) -> None:
    old = stage.first(*app("ipv4"))
    live = stage.swap(old, "/bin/sh", "-c", f"{sys.executable} -IS {APP} ipv4; sleep 60")
    (listening,) = set(members_of(live.process.pid)) - {live.process.pid}
    os.kill(listening, signal.SIGKILL)

    wait_until("the port refuses", lambda: refuses(stage), limit_s=0.5)
    again = stage.start(*app("ipv4"))
    assert stage.ask() == "3"
    stage.promote(again)
    assert stage.ask() == "3"


def test_candidate_that_crashes_leaves_visitors_alone(stage: Stage) -> None:
    old = stage.first(*app("ipv4"))
    visitors = Visitors(stage)
    with visitors.running():
        for _ in range(3):
            candidate = stage.start(*app("ipv4"))
            candidate.process.kill()
            candidate.process.wait()
        new = stage.swap(old, *app("ipv4"))
        wait_until("the new version serves", lambda: visitors.answers[str(new.run_id)])

    assert visitors.failures == []
    assert set(visitors.answers) == {str(old.run_id), str(new.run_id)}


def test_socket_that_outlives_the_process_that_listened_serves_on(stage: Stage) -> None:
    live = stage.first(*app("forked_workers"))
    wait_until("the workers run", lambda: len(members_of(live.process.pid)) == 3)
    live.process.kill()
    live.process.wait()

    assert {stage.ask() for _ in range(20)} == {"1"}
    new = stage.start(*app("ipv4"))
    assert {stage.ask() for _ in range(20)} == {"1"}
    stage.promote(new)
    assert {stage.ask() for _ in range(20)} == {"2"}


def test_promotion_can_be_taken_back(stage: Stage) -> None:
    old = stage.first(*app("ipv4"))
    stage.promote(stage.start(*app("ipv4")))

    stage.promote(old)

    assert {stage.ask() for _ in range(20)} == {"1"}


def test_nobody_to_hand_over_to_is_no_reason_to_wait(stage: Stage) -> None:
    live = stage.first(*app("ipv4"))
    with dial("127.0.0.1", stage.port):
        stage.order(Drained(live.run_id))
        stage.order(Promote(None))
        stage.order(Drained(live.run_id))


def test_keeper_without_a_daemon_serves_the_app_and_ends_after_it(stage: Stage) -> None:
    old = stage.first(*app("ipv4"))
    stage.disconnect()

    assert stage.ask("/bind") == "1"
    stage.connect()
    assert stage.order(Inspect()).live == old.run_id
    live = stage.swap(old, *app("ipv4"))
    stage.disconnect()
    live.process.send_signal(signal.SIGKILL)

    assert stage.keeper.wait(TIMEOUT_S) == 0


def test_accept_queue_is_counted(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", stage.port)) as listener:
        assert accept_queue(listener) == 0
        with dial("127.0.0.1", stage.port), dial("127.0.0.1", stage.port):
            assert accept_queue(listener) == 2
