"""How far the certificate of each name is: waits for DNS, is ordered, failed, is there. Pure, but for its clock."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from slot_machine.edge.certificates import Life
from slot_machine.edge.wire import DomainStatus

FIRST_LOOK_S, LONGEST_LOOK_S = 5.0, 300.0
AFTER_FAILURE_S = (60.0, 900.0, 3600.0, 14_400.0)
"""Let's Encrypt allows 5 failures of a name in an hour."""
ORDER_LIMIT_S = 180.0
ASKED_S = 2.0
"""For so long a router asks for a certificate. Traefik orders it once then; it would order again at each change of its
configuration, several times a second while an order fails. It renews what it has without being asked."""


@dataclass
class Name:
    """`asked`: its router tells Traefik to get a certificate. `due_s`: when it is looked at again."""

    asked: bool = False
    ordering: bool = False
    detail: str = ""
    due_s: float = 0.0
    wait_s: float = FIRST_LOOK_S
    failures: int = 0
    ordered_s: float = 0.0


class Progress:
    """Times ending with `_s` are monotonic."""

    def __init__(self) -> None:
        self._names: dict[str, Name] = {}
        self._lives: Mapping[str, Life] = {}

    def want(self, names: Collection[str]) -> None:
        self._names = {name: self._names.get(name) or Name() for name in names}

    def found(self, lives: Mapping[str, Life]) -> None:
        """What the storage has."""
        for name, state in self._names.items():
            if name in lives and lives[name] != self._lives.get(name):
                state.asked, state.ordering, state.detail, state.failures = False, False, "", 0
        self._lives = dict(lives)

    def asks(self, name: str) -> bool:
        """Whether its router asks for a certificate now."""
        state = self._names.get(name)
        return state is not None and state.asked

    def were_asked(self, now_s: float) -> None:
        """Traefik has had the routers that ask."""
        for state in self._names.values():
            state.asked = state.asked and now_s < state.ordered_s + ASKED_S

    def due(self, now_s: float) -> list[str]:
        """Names whose way here has to be looked at now."""
        missing = ((name, state) for name, state in self._names.items() if name not in self._lives)
        return [name for name, state in missing if not state.ordering and now_s >= state.due_s]

    def looked(self, name: str, obstacle: str, now_s: float) -> bool:
        """Whether it may be ordered from now on."""
        if not (state := self._names.get(name)):
            return False
        if obstacle:
            state.detail = obstacle if not state.failures else f"{state.detail}; {obstacle}"[:400]
            state.due_s, state.wait_s = now_s + state.wait_s, min(state.wait_s * 2, LONGEST_LOOK_S)
            return False
        state.asked, state.ordering, state.ordered_s = True, True, now_s
        return True

    def failed(self, name: str, reason: str, now_s: float) -> bool:
        """An order failed, or a renewal. Without a certificate it is not ordered again before its time."""
        if not (state := self._names.get(name)):
            return False
        state.detail = reason[:400]
        if name in self._lives:
            return False
        state.asked = state.ordering = False
        state.due_s = now_s + AFTER_FAILURE_S[min(state.failures, len(AFTER_FAILURE_S) - 1)]
        state.failures += 1
        return True

    def late(self, now_s: float) -> list[str]:
        """Names that were ordered, and neither came nor failed in time."""
        return [
            name for name, state in self._names.items() if state.ordering and now_s > state.ordered_s + ORDER_LIMIT_S
        ]

    def hurry(self) -> None:
        """Looks at all that waits at once, because somebody has changed something. Failures are not forgotten."""
        for state in self._names.values():
            if not state.failures:
                state.due_s = 0.0

    def status(self, name: str, now: datetime) -> DomainStatus:
        state, life = self._names.get(name) or Name(), self._lives.get(name)
        if life:
            late = life.is_overdue(now)
            told = state.detail or ("not renewed in time" if late else "")
            expires = life.end.strftime("%Y-%m-%dT%H:%M:%SZ")
            return DomainStatus(domain=name, state="overdue" if late else "valid", detail=told, expires=expires)
        if state.ordering:
            return DomainStatus(domain=name, state="ordering", detail=state.detail)
        detail = state.detail or f"waiting for DNS of {name}"
        return DomainStatus(domain=name, state="failed" if state.failures else "waiting", detail=detail)
