"""What a worker counts for `stats`: by slot and folded path, minute by minute."""

import msgspec
import pytest
from spec.waiting import wait_until

from slot_machine.core.minutes import NOT_FOUND, OTHER, Minute, Tally
from slot_machine.core.upstream import CUT, Totals
from slot_machine.host.network.control_socket import LONGEST_LINE_BYTES
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.observer import MOST_CACHED, MOST_MINUTES, MOST_PATHS, Observer, Observers
from slot_machine.proxy.paths import MOST_SHOWN, in_words, pattern
from slot_machine.proxy.remote import decode
from slot_machine.proxy.retries import MOST, Retries
from slot_machine.proxy.wire import Measure, Reply, Take
from tests.proxy.conftest import Plane
from tests.proxy.talk import EVENTS, GET, SWITCHED, UPGRADE, answered, served, websocket

BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize(
    ("path", "folded"),
    [
        ("/", "/"),
        ("/users/17/posts", "/users/:id/posts"),
        ("/api/v1/h2", "/api/v1/h2"),
        ("/2024/05/12/a-post-2", "/:id/:id/:id/a-post-:id"),
        ("/x/0b2d9a8e-7f60-5443-3221-100ffeedaa11", "/x/:id"),
        ("/commit/3f2a1b9c", "/commit/:id"),
        ("/commit/deadbeef", "/commit/deadbeef"),
        ("/app.3f2a1b9cdeadbeef.js", "/app.:id.js"),
        ("/reset/aZ3kQ9dLm2xPw7Rt5VbN", "/reset/:id"),
        ("/posts/how-to-deploy-your-app-in-one-minute", "/posts/how-to-deploy-your-app-in-one-minute"),
    ],
)
def test_ids_numbers_and_digests_are_folded(path: str, folded: str) -> None:
    assert in_words(pattern(path.encode())) == folded


def test_folded_path_is_short_and_in_ascii() -> None:
    assert in_words(b"/caf\xc3\xa9") == r"/caf\xc3\xa9"
    assert len(in_words(b"/" + b"a" * 1000)) == MOST_SHOWN


def names(number: int) -> list[bytes]:
    """Without a digit."""
    return [bytes(97 + int(digit) for digit in str(count)) for count in range(number)]


def tallies(observer: Observer) -> dict[str, tuple[int, int]]:
    return {path: (tally.requests, tally.errors) for path, tally in observer.take().items()}


def test_errors_are_those_of_the_app_and_a_query_is_no_part_of_a_path() -> None:
    observer = Observer()
    for target, status in ((b"/a?x=1", 200), (b"/a?x=2", 500), (b"/a", 503), (b"/a", 400), (b"/a", CUT)):
        observer.observe(target, status, 0.01, 0, 0)
    observer.cut_short(b"/a", 1)

    assert tallies(observer) == {"/a": (5, 3)}


def test_requests_that_wait_long_are_counted_until_they_are_answered_or_given_up() -> None:
    observer = Observer()
    observer.waits(b"/a?x")
    observer.waits(b"/a")
    assert observer.take() == {"/a": Tally({}, waiting=2)}
    observer.observe(b"/a", 200, 20, 0, 0)
    observer.waits_no_longer(b"/a", in_vain=False)
    observer.observe(b"/a", CUT, 20, 0, 0)
    observer.waits_no_longer(b"/a", in_vain=True)
    tally = observer.take()["/a"]
    assert (tally.requests, tally.waiting, tally.in_vain) == (2, -2, 1)


def test_errors_of_a_visitor_who_asks_again_are_told_apart_until_one_is_answered() -> None:
    observer = Observer()

    def ask(target: bytes, status: int, visitor: int) -> None:
        if observer.observe(target, status, 0.01, 0, 0):
            observer.visited(target, status, visitor)

    for _ in range(3):
        ask(b"/orders/17?x", 500, 1)
    ask(b"/orders/17", 500, 2)
    ask(b"/orders/18", 500, 1)
    ask(b"/orders/17", CUT, 1)
    ask(b"/orders/17", 500, 1)
    ask(b"/orders/17", 200, 2)
    assert (observer.take()["/orders/:id"].errors, observer.take()) == (6, {})
    ask(b"/orders/17", 200, 1)
    ask(b"/orders/17", 500, 1)
    observer.cut_short(b"/orders/17", 1)

    assert observer.take()["/orders/:id"] == Tally({20: 2}, 2, again=1)


def test_number_of_remembered_visitors_is_bounded() -> None:
    retries = Retries()
    for visitor in range(MOST):
        assert not retries.failed(b"/", visitor)
    assert retries.failed(b"/", 0)

    assert not retries.failed(b"/a", 0)
    assert sum(map(len, retries.by_path.values())) == 1
    retries.answered(b"/a", 0)
    assert not retries.by_path


def test_visitors_are_told_apart_by_address_program_and_cookies() -> None:
    def visitor(address: str, fields: str) -> int:
        head = RequestHead(f"GET /a HTTP/1.1\r\nHost: shop\r\n{fields}\r\n".encode())
        return head.visitor(Sender(address.encode(), lambda _: address))

    kinds = [("1", ""), ("2", ""), ("1", "User-Agent: curl\r\n"), ("1", "Cookie: a=b\r\n"), ("1", "cookie: a=c\r\n")]
    assert len({visitor(*kind) for kind in kinds}) == len(kinds)
    assert all(visitor(*kind) == visitor(*kind) for kind in kinds)


def test_anonymous_requests_that_were_served_are_counted_beside_the_others() -> None:
    observer = Observer()
    for status, anonymous in ((200, True), (302, True), (200, False), (404, True), (503, True), (CUT, True)):
        observer.observe(b"/a", status, 0.01, 0, 0, anonymous)

    assert observer.take()["/a"].anonymous == 2


@pytest.mark.parametrize(
    ("line", "fields", "anonymous"),
    [
        ("GET /a", "", True),
        ("GET http://shop/a", "", True),
        ("GET /a", "Cookie: a=b\r\n", False),
        ("GET /a", "cookie:  a=b\r\n", False),
        ("GET /a", "Authorization: Basic YTpi\r\n", False),
        ("GET /a", "X-Api-Key: a\r\n", False),
        ("GET /a", "Private-Token: a\r\n", False),
        ("GET /a", "X-Access-Token: a\r\n", False),
        ("GET /a", "Cf-Access-Jwt-Assertion: a\r\n", False),
        ("GET /a", "X-Forwarded-User: ada\r\n", False),
        ("GET /a", "Remote-User: ada\r\n", False),
        ("GET /a", "X-Auth-Request-Email: ada@example.org\r\n", False),
        ("GET /a", "Ocp-Apim-Subscription-Key: a\r\n", False),
        ("GET /a", "Tailscale-User-Login: ada@example.org\r\n", False),
        ("GET /a", "X-User-Id: 7\r\n", False),
        ("GET /a", "X-SSL-Client-S-DN: CN=ada\r\n", False),
        ("GET /a", "X-Forwarded-Tls-Client-Cert-Info: ada\r\n", False),
        ("GET /a", "X-Forwarded-Client-Cert: Subject=ada\r\n", False),
        ("GET /a", "X-Original-User-Agent: a\r\n", True),
        ("GET /a", "Sec-Fetch-User: ?1\r\nUser-Agent: a\r\nX-Forwarded-For: 10.0.0.1\r\n", True),
        ("GET /a?b", "", False),
        ("GET http://shop/a?b", "", False),
        ("HEAD /a", "", False),
        ("POST /a", "", False),
        ("GET /a", "Content-Length: 1\r\n", False),
        ("GET /a", "Connection: upgrade\r\nUpgrade: websocket\r\n", False),
    ],
)
def test_request_is_anonymous_if_nothing_says_who_sends_it(line: str, fields: str, *, anonymous: bool) -> None:
    for _ in range(2):  # The second one is of a cache.
        assert RequestHead(f"{line} HTTP/1.1\r\nHost: shop\r\n{fields}\r\n".encode()).anonymous is anonymous


def test_paths_that_end_with_a_number_are_counted_with_the_others_of_their_kind() -> None:
    observer = Observer()
    for target in (b"/a/1", b"/a/2?x", b"/a/b", b"/1/a/3", b"/2/a/4", b"/7", b"/a/3f2a1b9c"):
        observer.observe(target, 200, 0.001, 0, 0)

    assert tallies(observer) == {"/a/:id": (3, 0), "/a/b": (1, 0), "/:id/a/:id": (2, 0), "/:id": (1, 0)}


def test_missing_pages_are_one_path_whatever_was_asked_for_before() -> None:
    observer = Observer()
    for number in range(1000):
        observer.observe(b"/wp-admin/%x.php" % number, 404, 0.001, 0, 0)
    observer.observe(b"/a", 200, 0.001, 0, 0)
    observer.observe(b"/a", 404, 0.001, 0, 0)

    assert tallies(observer) == {NOT_FOUND: (1001, 0), "/a": (1, 0)}


def test_number_of_paths_is_bounded() -> None:
    observer = Observer()
    for name in names(MOST_CACHED):
        observer.observe(b"/" + name, 200, 0.001, 0, 0)

    found = tallies(observer)
    assert len(found) == MOST_PATHS + 1
    assert found[OTHER] == (MOST_CACHED - MOST_PATHS, 0)


def test_number_of_remembered_targets_is_bounded() -> None:
    observer = Observer()
    for name in names(MOST_CACHED * 2):
        observer.observe(b"/" + name, 200, 0.001, 0, 0)
        observer.observe(b"/" + name + b"/1", 200, 0.001, 0, 0)

    assert (len(observer._by_target), len(observer._by_parent)) == (MOST_CACHED, MOST_CACHED)


def test_totals_stay_when_a_minute_is_over() -> None:
    observer = Observer()
    for status, seconds in ((200, 0.0005), (503, 20)):
        observer.observe(b"/", status, seconds, 10, 20)
    before = observer.measured()
    observer.take()

    assert observer.measured() == before
    assert (before.latency[0], before.latency[-1], sum(before.latency), sum(before.times)) == (1, 1, 2, 2)
    assert (before.errors, before.bytes_in, before.bytes_out) == (1, 20, 40)


def test_part_of_a_minute_is_taken_once_and_what_is_known_of_its_paths_stays() -> None:
    observers = Observers()
    observers.tick(60_000)
    observer = observers.of("a")
    for _ in range(2):
        observer.observe(b"/a", 500, 0.001, 0, 0)
        observer.observe(b"/b/1", 200, 0.001, 0, 0)
        observers.end_part()
        assert observers.take() == Minute(1000, "a", {"/a": Tally({10: 1}, 1), "/b/:id": Tally({10: 1})})
        assert (len(observer._by_target), len(observer._by_parent)) == (1, 1)
    observers.tick(60_060)

    assert observers.take() is None
    assert (sum(observer.measured().times), observer.measured().errors) == (4, 2)
    assert not observer._by_path


def test_minute_ends_with_the_clock_and_waits_for_the_daemon() -> None:
    observers = Observers()
    observers.tick(60_000)
    observers.of("a").observe(b"/", 200, 0.001, 0, 0)
    observers.tick(60_059.9)
    assert observers.take() is None
    observers.tick(60_060)

    assert observers.take() == Minute(1000, "a", {"/": Tally({10: 1})})
    assert observers.take() is None


def test_minutes_that_no_daemon_takes_are_bounded() -> None:
    observers = Observers()
    for minute in range(MOST_MINUTES + 5):
        observers.tick(minute * 60)
        observers.of("b").observe(b"/", 200, 0.001, 0, 0)
    observers.end_minute()

    kept = list(iter(observers.take, None))
    assert [minute.minute for minute in kept] == list(range(5, MOST_MINUTES + 5))


def test_worker_hands_over_what_it_counted_once(plane: Plane) -> None:
    _, client, connection = served(plane)
    client.send(GET)
    answered(connection)
    client.until(b"ok")

    taken = [plane.do(Take(current=True)).minute for _ in range(2)]

    assert taken[0]
    assert taken[0].slot == "a"
    assert {path: tally.requests for path, tally in taken[0].paths.items()} == {"/": 2}
    assert taken[1] is None
    assert sum((plane.do(Measure()).totals or {})["a"].times) == 2


def test_errors_of_a_visitor_who_asks_again_are_told_apart_whether_whole_or_cut_short(plane: Plane) -> None:
    _, client, connection = served(plane)
    visitors = (b"one", b"two", b"one", b"one")
    for visitor in visitors:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: visitor=%b\r\n\r\n" % visitor)
        answered(connection, BROKEN)
        client.until(b"no")
    client.send(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: visitor=two\r\n\r\n")
    answered(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")
    client.until(b"cut")
    connection.close()
    client.rest()

    minute = plane.do(Take(current=True)).minute

    assert minute
    tally = minute.paths["/"]
    assert (tally.requests, tally.errors, tally.again) == (6, 5, 3)


def test_errors_that_a_visitor_got_of_an_earlier_version_in_the_slot_are_not_those_of_the_next_one(
    plane: Plane,
) -> None:
    for _ in range(2):
        app = plane.app()
        client = plane.client(GET)
        answered(app.accept(), BROKEN)
        client.until(b"no")

    minute = plane.do(Take(current=True)).minute

    assert minute
    tally = minute.paths["/"]
    assert (minute.slot, tally.requests, tally.errors, tally.again) == ("a", 2, 2, 0)


@pytest.mark.parametrize("stream", [SWITCHED, EVENTS])
def test_visitor_whose_stream_begins_has_been_answered(plane: Plane, stream: bytes) -> None:
    app = plane.app()
    for reply in (BROKEN, stream, BROKEN):
        client = plane.client(UPGRADE)
        connection = app.accept()
        answered(connection, reply)
        client.head()
        client.close()

    def failed() -> Tally | None:
        minute = plane.do(Take(current=True)).minute
        if minute:
            counted.add(minute.paths["/"])
        return counted if counted.errors == 2 else None

    counted = Tally({})
    wait_until("both errors are counted", failed)
    assert counted.again == 0


def test_error_of_an_app_that_calls_it_an_event_stream_is_an_error(plane: Plane) -> None:
    _, client, connection = served(plane)
    for _ in range(2):
        client.send(GET)
        answered(connection, EVENTS.replace(b"200 OK", b"500 Broken") + b"0\r\n\r\n")
        client.until(b"0\r\n\r\n")

    minute = plane.do(Take(current=True)).minute

    assert minute
    tally = minute.paths["/"]
    assert (tally.requests, tally.errors, tally.again) == (3, 2, 1)
    assert (totals_of(plane).errors, totals_of(plane).by_class[5]) == (2, 2)


def totals_of(plane: Plane) -> Totals:
    return (plane.do(Measure()).totals or {})["a"]


def test_websocket_counts_with_the_time_to_its_head(plane: Plane) -> None:
    client, tunnel = websocket(plane, plane.app())

    minute = plane.do(Take(current=True)).minute

    assert minute
    assert minute.paths["/"].requests == 1
    assert sum(totals_of(plane).latency) == 0
    client.close()
    tunnel.rest()
    tunnel.close()
    wait_until("it is over", lambda: totals_of(plane).by_class[1])
    totals = totals_of(plane)
    assert (sum(totals.times), sum(totals.latency)) == (1, 1)
    assert plane.do(Take(current=True)).minute is None


def test_request_that_nobody_serves_has_no_slot(plane: Plane) -> None:
    client = plane.client(GET)
    client.until(b"</p>")

    minute = plane.do(Take(current=True)).minute

    assert minute
    assert (minute.slot, {path: tally.errors for path, tally in minute.paths.items()}) == ("", {"/": 1})


def test_largest_minute_fits_into_a_line() -> None:
    tally = Tally(dict.fromkeys(range(61), 1_000_000), 1_000_000)
    paths = {in_words(b"/%d/" % number + b"\xff" * 400): tally for number in range(MOST_PATHS + 2)}

    line = msgspec.json.encode(Reply(1_000_000, minute=Minute(30_000_000, "a", paths)))
    assert len(paths) > MOST_PATHS
    assert len(line) < LONGEST_LINE_BYTES
    assert decode(line).minute
