"""The routing core against a plain model of it."""

from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from slot_machine.core.upstream import PUBLIC, Address, Beside, Upstream
from slot_machine.proxy.pool import AppLink
from slot_machine.proxy.route import Route
from slot_machine.proxy.routing import Router

UPSTREAMS = [Upstream(number, "a", {PUBLIC: Address("127.0.0.1", number)}) for number in range(1, 4)]


class Claim:
    """A request; `answers` is what the router handed out: exactly one, and one more each time that it is `moved`."""

    def __init__(self, listener: str = PUBLIC, *, beside: bool = False) -> None:
        self.listener = listener
        self.beside = beside
        self.answers: list[Route[AppLink] | None] = []
        self.moved = 0
        self.released = False
        self.endless = False

    def claimed(self, route: Route[AppLink] | None) -> None:
        self.answers.append(route)

    @property
    def waiting(self) -> bool:
        return len(self.answers) <= self.moved

    def goes_beside(self, _: Beside) -> bool:
        return self.beside

    def waits(self) -> None:
        assert self.waiting

    def wind_up(self, within_s: float) -> None:
        raise AssertionError(within_s)

    def cut(self) -> None:
        self.released = True
        if route := self.answers[-1]:
            route.release(self, False)


class Routing(RuleBasedStateMachine):
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.gauge = [0]
        self.router: Router[AppLink] = Router(self.gauge)
        self.current: Upstream | None = None
        self.beside: Upstream | None = None
        self.holding = False
        self.made: list[Claim] = []

    @rule(upstream=st.sampled_from([*UPSTREAMS, None]), beside=st.sampled_from([*UPSTREAMS, None]))
    def route(self, upstream: Upstream | None, beside: Upstream | None) -> None:
        held = [claim for claim in self.made if claim.waiting]
        self.current, self.beside, self.holding = upstream, beside, False
        refused = sum(self.wanted(claim) is None for claim in held)
        counts = self.router.route(upstream, beside=Beside(beside) if beside else None)
        assert (counts.held, counts.refused) == (len(held), refused)
        assert all(self.goes_to(claim) == self.wanted(claim) for claim in held)

    @rule()
    def hold(self) -> None:
        self.router.hold()
        self.holding = True

    @rule(target=claims, beside=st.booleans())
    def claim(self, beside: bool) -> Claim:
        claim = Claim(beside=beside)
        self.made.append(claim)
        self.router.claim(claim)
        assert claim.waiting == self.holding
        if not claim.waiting:
            assert self.goes_to(claim) == self.wanted(claim)
        return claim

    @rule(claim=claims, finished=st.booleans())
    def release(self, claim: Claim, finished: bool) -> None:
        if not claim.waiting and (route := claim.answers[-1]):
            route.release(claim, finished)
            claim.released = True

    @rule(claim=claims)
    def move(self, claim: Claim) -> None:
        if claim.waiting or claim.released or not (route := claim.answers[-1]):
            return
        elsewhere = self.router.goes_elsewhere(claim, route)
        assert elsewhere == (self.holding or self.wanted(claim) not in (None, route.upstream))
        if elsewhere:
            claim.moved += 1
            self.router.move(claim, route)
            assert claim.waiting == self.holding
            assert claim.waiting or self.goes_to(claim) == self.wanted(claim)

    @rule(upstream=st.sampled_from(UPSTREAMS))
    def forget(self, upstream: Upstream) -> None:
        self.router.forget(upstream.run_id)
        if upstream == self.current:
            self.current = None
        if upstream == self.beside:
            self.beside = None
        assert self.in_flight(upstream) == 0

    @invariant()
    def drained_means_nothing_in_flight(self) -> None:
        for upstream in UPSTREAMS:
            drained: list[bool] = []
            self.router.when_drained(upstream.run_id, partial(drained.append, True))
            assert bool(drained) == (self.in_flight(upstream) == 0)

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        assert all(len(claim.answers) <= 1 + claim.moved for claim in self.made)

    @invariant()
    def gauge_has_those_in_flight_and_those_that_wait(self) -> None:
        waiting = sum(claim.waiting for claim in self.made)
        assert self.gauge[0] == waiting + sum(map(self.in_flight, UPSTREAMS))

    def wanted(self, claim: Claim) -> Upstream | None:
        return self.beside if self.beside and claim.beside else self.current

    def in_flight(self, upstream: Upstream) -> int:
        return sum(not claim.released and not claim.waiting and self.goes_to(claim) == upstream for claim in self.made)

    @staticmethod
    def goes_to(claim: Claim) -> Upstream | None:
        route = claim.answers[-1]
        return route.upstream if route else None


TestRouting = Routing.TestCase
