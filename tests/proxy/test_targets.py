"""A router with targets for single listeners: several upstreams get new requests at the same time."""

import itertools
from functools import partial

import msgspec

from slot_machine.core.upstream import INTERNAL, PUBLIC, Address, Beside, Counts, Target, Upstream
from slot_machine.proxy import wire
from slot_machine.proxy.pool import AppLink
from slot_machine.proxy.route import Route
from slot_machine.proxy.routing import Router

PREVIEW = "preview"
ADDRESS = Address("127.0.0.1", 1)
ADDRESSES = dict.fromkeys((PUBLIC, INTERNAL, PREVIEW), ADDRESS)
LIVE, CANDIDATE, NEXT = (Upstream(run_id, "a", ADDRESSES) for run_id in (1, 2, 3))


class Claim:
    endless = False

    def __init__(self, listener: str) -> None:
        self.listener = listener
        self.routes: list[Route[AppLink] | None] = []
        self.held = False

    def claimed(self, route: Route[AppLink] | None) -> None:
        self.routes.append(route)

    def goes_beside(self, _: Beside) -> bool:
        return False

    def waits(self) -> None:
        self.held = True

    def cut(self) -> None:
        raise AssertionError("cut")

    def wind_up(self, within_s: float) -> None:
        raise AssertionError(within_s)

    @property
    def upstream(self) -> Upstream | None:
        route = self.routes[-1]
        return route.upstream if route else None


def claimed(router: Router[AppLink], listener: str) -> Claim:
    claim = Claim(listener)
    router.claim(claim)
    return claim


def released(router: Router[AppLink], listener: str) -> Upstream | None:
    """Where a request goes that is over at once."""
    claim = claimed(router, listener)
    if route := claim.routes[-1]:
        route.release(claim, finished=True)
    return claim.upstream


def routed(upstream: Upstream | None, **targets: list[Target]) -> Router[AppLink]:
    router: Router[AppLink] = Router([0])
    router.route(upstream, targets)
    return router


def test_candidate_gets_the_requests_of_its_listener_alone() -> None:
    router = routed(LIVE, preview=[Target(CANDIDATE)])
    assert released(router, PUBLIC) == released(router, INTERNAL) == LIVE
    assert released(router, PREVIEW) == CANDIDATE


def test_candidate_gets_its_share_evenly_spread() -> None:
    router = routed(LIVE, public=[Target(LIVE, 95), Target(CANDIDATE, 5)])
    gone_to = [released(router, PUBLIC) for _ in range(200)]
    at = [number for number, upstream in enumerate(gone_to) if upstream == CANDIDATE]
    assert [later - earlier for earlier, later in itertools.pairwise(at)] == [20] * 9
    assert released(router, INTERNAL) == LIVE


def test_listener_whose_targets_are_none_is_not_live_while_others_are() -> None:
    router = routed(LIVE, preview=[])
    assert released(router, PREVIEW) is None
    assert released(router, PUBLIC) == LIVE


def test_promoted_candidate_counts_nothing_and_what_it_replaced_does() -> None:
    router = routed(LIVE, preview=[Target(CANDIDATE)])
    old, new = claimed(router, PUBLIC), claimed(router, PREVIEW)
    router.route(CANDIDATE)
    for claim in (old, new):
        route = claim.routes[-1]
        assert route
        route.release(claim, finished=True)
    assert router.forget(LIVE.run_id).finished == 1
    assert router.forget(CANDIDATE.run_id) == Counts()


def test_held_requests_go_to_the_targets_of_their_listeners() -> None:
    router = routed(LIVE)
    router.hold()
    public, preview = claimed(router, PUBLIC), claimed(router, PREVIEW)
    assert public.held
    assert preview.held
    counts = router.route(LIVE, {PREVIEW: []})
    assert (counts.held, counts.refused) == (2, 1)
    assert (public.upstream, preview.upstream) == (LIVE, None)


def test_request_of_one_target_does_not_move_to_another_until_its_own_is_none() -> None:
    router = routed(LIVE, public=[Target(LIVE), Target(CANDIDATE)])
    claim = claimed(router, PUBLIC)
    route = claim.routes[-1]
    assert route
    assert not router.goes_elsewhere(claim, route)
    router.route(NEXT)
    assert router.goes_elsewhere(claim, route)
    router.move(claim, route)
    assert claim.upstream == NEXT


def test_forgotten_target_leaves_its_share_to_the_others() -> None:
    router = routed(LIVE, public=[Target(LIVE, 1), Target(CANDIDATE, 99)], preview=[Target(CANDIDATE)])
    router.forget(CANDIDATE.run_id)
    assert all(released(router, PUBLIC) == LIVE for _ in range(100))
    assert released(router, PREVIEW) is None


def test_each_target_is_drained_by_itself() -> None:
    router = routed(LIVE, preview=[Target(CANDIDATE)])
    claimed(router, PREVIEW)
    drained: list[int] = []
    for upstream in (LIVE, CANDIDATE):
        router.when_drained(upstream.run_id, partial(drained.append, upstream.run_id))
    assert drained == [LIVE.run_id]


class OldRoute(msgspec.Struct, frozen=True, tag="route"):
    """As workers of earlier releases know it."""

    upstream: Upstream | None


def test_order_without_targets_is_what_older_workers_know() -> None:
    for upstream in (LIVE, None):
        assert msgspec.json.encode(wire.Route(upstream)) == msgspec.json.encode(OldRoute(upstream))


def test_older_workers_send_all_requests_to_the_one_upstream() -> None:
    order = wire.Route(LIVE, {PUBLIC: (Target(LIVE, 95), Target(CANDIDATE, 5))})
    assert msgspec.json.decode(msgspec.json.encode(order), type=OldRoute).upstream == LIVE


def test_orders_of_an_older_daemon_route_everything() -> None:
    order = msgspec.json.decode(msgspec.json.encode(OldRoute(LIVE)), type=wire.Route)
    assert (order.upstream, order.targets) == (LIVE, {})


def test_wire_keeps_the_names_that_older_processes_know() -> None:
    assert msgspec.to_builtins(wire.Drained(7)) == {"type": "drained", "upstream": 7}
    assert msgspec.to_builtins(wire.Unwind(7, 0.5)) == {"type": "unwind", "upstream": 7, "over_s": 0.5}
    assert msgspec.to_builtins(wire.Forget(7)) == {"type": "forget", "upstream": 7}
    assert msgspec.to_builtins(Upstream(7, "a", {})) == {"id": 7, "slot": "a", "addresses": {}}
