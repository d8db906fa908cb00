"""The routing core against a plain model of it."""

from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from slot_machine.core.upstream import PUBLIC, Address, Upstream
from slot_machine.proxy.routing import Route, Router

UPSTREAMS = [Upstream(number, "a", {PUBLIC: Address("127.0.0.1", number)}) for number in range(1, 4)]


class Claim:
    """A request; `answers` is what the router handed out, exactly once."""

    def __init__(self) -> None:
        self.answers: list[Route | None] = []
        self.released = False
        self.endless = False

    def claimed(self, route: Route | None) -> None:
        self.answers.append(route)

    def waits(self) -> None:
        assert not self.answers

    def wind_up(self, within_s: float) -> None:
        raise AssertionError(within_s)

    def cut(self) -> None:
        self.released = True
        if self.answers and self.answers[0]:
            self.answers[0].release(self, False)


class Routing(RuleBasedStateMachine):
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.router = Router([0])
        self.current: Upstream | None = None
        self.holding = False
        self.made: list[Claim] = []

    @rule(upstream=st.sampled_from([*UPSTREAMS, None]))
    def route(self, upstream: Upstream | None) -> None:
        held = [claim for claim in self.made if not claim.answers]
        counts = self.router.route(upstream)
        assert (counts.held, counts.refused) == (len(held), 0 if upstream else len(held))
        self.current, self.holding = upstream, False
        assert all(self.goes_to(claim) == upstream for claim in held)

    @rule()
    def hold(self) -> None:
        self.router.hold()
        self.holding = True

    @rule(target=claims)
    def claim(self) -> Claim:
        claim = Claim()
        self.made.append(claim)
        self.router.claim(claim)
        assert bool(claim.answers) != self.holding
        if claim.answers:
            assert self.goes_to(claim) == self.current
        return claim

    @rule(claim=claims, finished=st.booleans())
    def release(self, claim: Claim, finished: bool) -> None:
        if claim.answers and claim.answers[0]:
            claim.answers[0].release(claim, finished)
            claim.released = True

    @rule(upstream=st.sampled_from(UPSTREAMS))
    def forget(self, upstream: Upstream) -> None:
        self.router.forget(upstream.id)
        if upstream == self.current:
            self.current = None
        assert self.in_flight(upstream) == 0

    @invariant()
    def drained_means_nothing_in_flight(self) -> None:
        for upstream in UPSTREAMS:
            drained: list[bool] = []
            self.router.when_drained(upstream.id, partial(drained.append, True))
            assert bool(drained) == (self.in_flight(upstream) == 0)

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        assert all(len(claim.answers) <= 1 for claim in self.made)

    def in_flight(self, upstream: Upstream) -> int:
        return sum(
            not claim.released and bool(claim.answers) and self.goes_to(claim) == upstream for claim in self.made
        )

    @staticmethod
    def goes_to(claim: Claim) -> Upstream | None:
        (route,) = claim.answers
        return route.upstream if route else None


TestRouting = Routing.TestCase
