"""Who makes way for a new client when all places are taken."""

import time

from slot_machine.proxy.room import KEPT_S, Idleness, Room

NOW_S = 100.0


class Client:
    def __init__(self, idleness: Idleness | None, *, asks: bool = False) -> None:
        self.looks = 0
        self.asks = asks
        self._idleness = idleness

    @property
    def idleness(self) -> Idleness | None:
        self.looks += 1
        return self._idleness

    def make_way(self) -> bool:
        if not self.asks:
            self._idleness = None
        return not self.asks

    def goes_on(self, idleness: Idleness | None) -> None:
        self._idleness = idleness

    @property
    def gone(self) -> bool:
        return self._idleness is None


class App:
    def __init__(self, in_flight: int = 0, at_rest: int = 0) -> None:
        self.in_flight = in_flight
        self.at_rest = at_rest

    @property
    def connections(self) -> int:
        return self.in_flight + self.at_rest

    def close_idle_connection(self) -> bool:
        rested, self.at_rest = self.at_rest, max(0, self.at_rest - 1)
        return rested > 0


def silent(since_s: float) -> Client:
    return Client(Idleness(False, since_s))


def full(*clients: Client) -> Room:
    return Room(clients, App(), len(clients))


def test_nobody_makes_way_while_there_is_room() -> None:
    client = silent(1.0)
    assert Room([client], App(), 2).made(NOW_S)
    assert not client.gone


def test_connections_to_the_app_take_places_too() -> None:
    client, app = silent(1.0), App(in_flight=1)
    room = Room([client], app, 2)
    assert room.made(NOW_S)
    assert client.gone
    app.in_flight = 0
    assert room.made(NOW_S)


def test_connection_at_rest_makes_way_before_any_client() -> None:
    client, app = silent(1.0), App(at_rest=1)
    room = Room([client], app, 2)
    assert room.made(NOW_S)
    assert (app.at_rest, client.gone) == (0, False)


def test_longest_idle_goes_first() -> None:
    second, first = silent(1.0), silent(0.5)
    room = full(second, Client(None), first)
    assert room.made(NOW_S)
    assert (first.gone, second.gone) == (True, False)
    assert room.made(NOW_S)
    assert second.gone
    assert not room.made(NOW_S + 1)


def test_request_that_has_begun_makes_way_only_when_no_other_client_is_idle() -> None:
    begun, served, other = Client(Idleness(True, 0.5)), Client(None), silent(1.0)
    room = full(begun, served, other)
    assert room.made(NOW_S)
    assert (begun.gone, other.gone) == (False, True)
    served.goes_on(Idleness(False, 2.0))
    assert room.made(NOW_S + 1)
    assert (begun.gone, served.gone) == (False, True)
    assert room.made(NOW_S + 2)
    assert begun.gone


def test_client_that_has_asked_since_the_look_stays() -> None:
    first, second, third = silent(1.0), silent(2.0), silent(3.0)
    room = full(first, second, third)
    assert room.made(NOW_S)
    second.goes_on(Idleness(False, 4.0))
    assert room.made(NOW_S)
    assert third.gone
    assert not second.gone
    assert room.made(NOW_S + 1)
    assert second.gone


def test_request_that_was_not_read_yet_stays() -> None:
    asking, other = Client(Idleness(False, 1.0), asks=True), silent(2.0)
    room = full(asking, other)
    assert room.made(NOW_S)
    assert other.gone


def test_flood_of_newcomers_costs_no_look_at_all_clients_each() -> None:
    clients = [Client(None) for _ in range(10)]
    room = full(*clients)
    for _ in range(100):
        assert not room.made(NOW_S)
    assert clients[0].looks == 1
    clients[0].goes_on(Idleness(False, 1.0))
    assert room.made(NOW_S + 1)


def test_clients_that_are_gone_are_let_go() -> None:
    first, second = silent(1.0), silent(2.0)
    room = full(first, second)
    assert room.made(NOW_S)
    room.forget(NOW_S + KEPT_S + 1)
    looks = second.looks
    assert not room.made(NOW_S)
    assert second.looks == looks


def test_look_that_waited_for_the_cpu_does_not_put_off_the_next() -> None:
    class Preempted(Client):
        @property
        def idleness(self) -> Idleness | None:
            time.sleep(0.01)
            return super().idleness

    served = Preempted(None)
    room = full(served)
    assert not room.made(NOW_S)
    served.goes_on(Idleness(False, 1.0))
    assert room.made(NOW_S + 0.1)
