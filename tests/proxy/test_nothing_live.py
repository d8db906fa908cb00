"""The old version while the new one is watched: it gets what the new one does not take."""

from slot_machine.core.upstream import PUBLIC, Address, Beside, Upstream
from slot_machine.proxy.pool import AppLink
from slot_machine.proxy.route import Route
from slot_machine.proxy.routing import Router

OLD, NEW = (Upstream(number, slot, {PUBLIC: Address("127.0.0.1", number)}) for number, slot in ((1, "a"), (2, "b")))


class Claim:
    listener = PUBLIC
    endless = False

    def __init__(self) -> None:
        self.route: Route[AppLink] | None = None

    def claimed(self, route: Route[AppLink] | None) -> None:
        self.route = route

    def goes_beside(self, _: Beside) -> bool:
        return False

    def waits(self) -> None: ...

    def cut(self) -> None: ...

    def wind_up(self, within_s: float) -> None: ...


def claimed(router: Router[AppLink]) -> int:
    """The id of the run that gets the next request; 0 for none."""
    claim = Claim()
    router.claim(claim)
    if not claim.route:
        return 0
    claim.route.release(claim, True)
    return claim.route.upstream.run_id


def test_it_gets_all_requests_while_nothing_is_live() -> None:
    router: Router[AppLink] = Router([0])
    router.route(NEW, beside=Beside(OLD, stands_in=True))
    assert claimed(router) == 2
    router.route(None, beside=Beside(OLD, stands_in=True))
    assert router.upstream is None
    assert claimed(router) == 1
    router.route(NEW, beside=Beside(OLD, stands_in=True))
    assert claimed(router) == 2


def test_requests_of_one_that_has_crashed_go_there() -> None:
    router: Router[AppLink] = Router([0])
    router.route(NEW, beside=Beside(OLD, stands_in=True))
    claim = Claim()
    router.claim(claim)
    route = claim.route
    assert route
    assert not router.goes_elsewhere(claim, route)
    router.route(None, beside=Beside(OLD, stands_in=True))
    assert router.goes_elsewhere(claim, route)
    router.move(claim, route)
    assert claim.route
    assert claim.route.upstream == OLD


def test_one_that_only_runs_beside_gets_none_of_them() -> None:
    router: Router[AppLink] = Router([0])
    router.route(None, beside=Beside(OLD))
    assert claimed(router) == 0


def test_after_its_end_nothing_is_live() -> None:
    router: Router[AppLink] = Router([0])
    router.route(None, beside=Beside(OLD, stands_in=True))
    router.forget(1)
    assert (router.beside, router.upstream, claimed(router)) == (None, None, 0)
