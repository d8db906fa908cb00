"""Counts requests: in total by slot, and by path in each minute, until the daemon takes the minute."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from time import time

from slot_machine.core.minutes import BOUNDS_S, BUCKETS, COARSE, NOT_FOUND, OTHER, Minute, Tally, coarse, sparse
from slot_machine.core.upstream import CUT, Totals
from slot_machine.proxy import paths
from slot_machine.proxy.retries import Retries

NO_SLOT = ""
"""Stands for the slot of requests that reached none."""

MOST_PATHS = 100
"""Of a slot in a minute, which must fit into a line of the control socket."""
MOST_CACHED = 1000
"""Targets whose path is known without folding it again, and parents of numbers."""
MOST_MINUTES = 90
"""Kept while no daemon takes them, for half an hour at least. A minute counts once for each slot with requests."""

ERRORS = BUCKETS
ANONYMOUS = BUCKETS + 1
AGAIN = BUCKETS + 2
WAITING = BUCKETS + 3
IN_VAIN = BUCKETS + 4
NUMBERS = BUCKETS + 5
"""In a list of numbers by bucket: the places of the numbers of errors, of anonymous requests, of errors of visitors who
asked again, of requests that wait long for their replies, and of those that waited in vain; its length."""
NOTHING = [0] * NUMBERS
FIRST_SERVED, LAST_SERVED = 200, 399
FIRST_ERROR = 500
FILE_NOT_FOUND = 404


class Observer:
    """Counts the requests of one slot. `totals` lacks the times and errors of the current minute."""

    __slots__ = ("_by_parent", "_by_path", "_by_target", "_retries", "totals")

    def __init__(self) -> None:
        self.totals = Totals()
        self._by_path: dict[str | bytes, list[int]] = {}
        self._by_target: dict[bytes, list[int]] = {}
        self._by_parent: dict[bytes, list[int]] = {}
        """The numbers of paths that end with a number, by what stands before that."""
        self._retries = Retries()

    def observe(
        self, target: bytes, status: int, seconds: float, bytes_in: int, bytes_out: int, anonymous: bool = False
    ) -> bool:
        """A request is over. It costs one lookup more than to count without paths. `status` may be CUT.

        Returns whether `visited` must be called, because the request failed or others for its path did.
        """
        totals = self.totals
        totals.by_class[status // 100] += 1
        totals.seconds += seconds
        totals.bytes_in += bytes_in
        totals.bytes_out += bytes_out
        numbers = self._by_target.get(target)
        if numbers is None or status == FILE_NOT_FOUND:
            numbers = self._numbers_of(target, status)
        numbers[bisect_left(BOUNDS_S, seconds)] += 1
        if status >= FIRST_ERROR:
            numbers[ERRORS] += 1
            return True
        if anonymous and FIRST_SERVED <= status <= LAST_SERVED:
            numbers[ANONYMOUS] += 1
        return bool(self._retries.by_path)

    def forget_visitors(self) -> None:
        """Another version begins in the slot: the errors that visitors got before were those of the earlier one."""
        self._retries = Retries()

    def visited(self, target: bytes, status: int, visitor: int) -> None:
        """Tells whose request that was."""
        if status >= FIRST_ERROR:
            self._failed(target, status, visitor)
        elif status != CUT:
            self._retries.answered(_path(target), visitor)

    def stream_begins(self, target: bytes, status: int, seconds: float) -> bool:
        """Of a WebSocket or an event stream, the time to the reply's head is what counts. It may last for hours.

        Returns the same as `observe`.
        """
        bucket = bisect_left(BOUNDS_S, seconds)
        self._numbers_of(target, status)[bucket] += 1
        # The coarse histogram has it once, with its whole time: `Totals.observe` adds that at its end.
        self.totals.latency[COARSE[bucket]] -= 1
        return bool(self._retries.by_path)

    def cut_short(self, target: bytes, visitor: int) -> None:
        """The app ended in the midst of a reply."""
        self._numbers_of(target, CUT)[ERRORS] += 1
        self._failed(target, CUT, visitor)

    def waits(self, target: bytes) -> None:
        """A request has waited long for the begin of its reply. It goes on to wait."""
        self._numbers_of(target, CUT)[WAITING] += 1

    def waits_no_longer(self, target: bytes, *, in_vain: bool) -> None:
        """`in_vain`: nobody replied. Call `observe` as well, if the request is over."""
        numbers = self._numbers_of(target, CUT)
        numbers[WAITING] -= 1
        numbers[IN_VAIN] += in_vain

    def measured(self) -> Totals:
        return self.totals + _totals_of(self._by_path.values())

    def take(self) -> dict[str, Tally]:
        """What was counted in the minute that ends now, by path."""
        by_path, self._by_path, self._by_target, self._by_parent = self._by_path, {}, {}, {}
        self.totals += _totals_of(by_path.values())
        return _by_words(by_path)

    def take_up_to_now(self) -> dict[str, Tally]:
        """In the midst of a minute: what is known of its paths stays, so that its next requests cost no more."""
        self.totals += _totals_of(self._by_path.values())
        tallies = _by_words(self._by_path)
        for numbers in self._by_path.values():
            numbers[:] = NOTHING
        return tallies

    def _failed(self, target: bytes, status: int, visitor: int) -> None:
        if self._retries.failed(_path(target), visitor):
            self._numbers_of(target, status)[AGAIN] += 1

    def _numbers_of(self, target: bytes, status: int) -> list[int]:
        if status == FILE_NOT_FOUND:
            return self._numbers_at(NOT_FOUND)
        path = _path(target)
        parent, _, last = path.rpartition(b"/")
        known, key = (self._by_parent, parent) if last.isdigit() else (self._by_target, path)
        numbers = known.get(key)
        if numbers is None:
            numbers = self._numbers_at(paths.pattern(path))
            # The first ones of a minute stay: to make room for each new one would cost more than to fold it.
            if len(known) < MOST_CACHED:
                known[key] = numbers
        return numbers

    def _numbers_at(self, path: str | bytes) -> list[int]:
        numbers = self._by_path.get(path)
        if numbers is None:
            if len(self._by_path) >= MOST_PATHS:
                path = OTHER
            numbers = self._by_path.setdefault(path, [0] * NUMBERS)
        return numbers


class Observers:
    """Those of all slots, and the minutes that are over and that no daemon has taken yet."""

    def __init__(self) -> None:
        self.of_slot: dict[str, Observer] = {NO_SLOT: Observer()}
        self.of_no_slot = self.of_slot[NO_SLOT]
        self._minute = int(time()) // 60
        self._over: deque[Minute] = deque(maxlen=MOST_MINUTES)

    def of(self, slot: str) -> Observer:
        return self.of_slot.setdefault(slot, Observer())

    def measure(self) -> dict[str, Totals]:
        return {slot: observer.measured() for slot, observer in self.of_slot.items()}

    def tick(self, now_s: float) -> None:
        """`now_s` is the time since 1970. The clock only says which minute it is."""
        minute = int(now_s) // 60
        if minute != self._minute:
            self.end_minute()
            self._minute = minute

    def end_minute(self) -> None:
        self._keep({slot: observer.take() for slot, observer in self.of_slot.items()})

    def end_part(self) -> None:
        """What was counted of the current minute up to now is a minute of its own, which has the same number."""
        self._keep({slot: observer.take_up_to_now() for slot, observer in self.of_slot.items()})

    def take(self) -> Minute | None:
        """The oldest that is over."""
        return self._over.popleft() if self._over else None

    def _keep(self, taken: dict[str, dict[str, Tally]]) -> None:
        self._over.extend(Minute(self._minute, slot, tallies) for slot, tallies in taken.items() if tallies)


def _path(target: bytes) -> bytes:
    return target.partition(b"?")[0] if b"?" in target else target


def _by_words(by_path: dict[str | bytes, list[int]]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for path, numbers in by_path.items():
        if numbers != NOTHING:
            words = path if isinstance(path, str) else paths.in_words(path)
            tallies.setdefault(words, Tally({})).add(_tally_of(numbers))
    return tallies


def _tally_of(numbers: list[int]) -> Tally:
    return Tally(sparse(numbers[:BUCKETS]), *numbers[BUCKETS:])


def _totals_of(counted: Iterable[list[int]]) -> Totals:
    summed = [sum(numbers) for numbers in zip(NOTHING, *counted, strict=True)]
    times = summed[:BUCKETS]
    return Totals(latency=coarse(sparse(times)), times=times, errors=summed[ERRORS])
