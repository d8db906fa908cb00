"""Decides whether clearly more requests of a new version fail: of one path, or of all. A test of proportions.

It is asked again and again while the requests come. A test of the failures that have come so far is most extreme right
after one of them, so what may happen by chance is divided among the numbers of failures: n of them get 1/(n (n + 1)).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from slot_machine.core.minutes import Tally
from slot_machine.core.proportions import chance_beyond, chance_of_more
from slot_machine.core.side import ALL, Sample, Side

CHANCE = 0.002
"""Of 1,000 versions that are as good as the old one, at most so many are called worse by the test: all paths and all
looks of a watch together. One half is for the paths, the other half for all requests."""
LEAST_FAILURES = 4
"""Fewer never decide: three unlucky visitors are no outage."""
LEAST_LOOKS = 3
"""The failures must have come in so many looks, so that one hiccup, however many requests it hits, does not decide."""
CLEARLY = 2.0
"""The share of failures must be so many times the old version's: with many requests, a test also finds differences
that the time of day makes."""
CLEARLY_MORE = 0.005
"""As above: and higher by so much."""
KNOWN = 150
"""With fewer requests of the old version, and no failure, the share of failures of a path is not known. So many
requests are assumed beside them, which fail as often as all that the old version served. These are few, because a path
may fail more often than others."""
DOUBT = 0.02
"""A path that never failed is compared with all that the old version served, too: by itself, the record of a version
that was live for seconds proves little. But then the path's own record must not be likelier than this."""
ASSUMED = Sample(100, 1)
"""Is added to all that the old version served: one that had no requests has no share of failures."""


class Stratum(NamedTuple):
    """A path of the new version, and what it is compared with."""

    path: str
    new: Sample
    old: Sample
    known: bool = True


def what_fails(new: Side, old: Side) -> str:
    """In words; empty if it is no more than of the old version, or if that may be chance."""
    whole = _summed((Sample.of(old.total), ASSUMED))
    usual = Sample(KNOWN, max(1, round(KNOWN * whole.share)))
    strata = list(_strata(new, old))
    requests = sum(stratum.new.requests for stratum in strata)
    for path, mine, its, known in (*strata, *_late(new, old)):
        share = max(its.share if known else usual.share, _meanwhile(old, path).share)
        part = 0.5 / len(strata) + 0.5 * mine.requests / max(requests, 1)
        if _is_more(new, path, mine, share) and _chance(mine, its, whole, usual) <= _limit(mine.failures, part):
            return f"{_in_words(mine)} for {path} failed; of the old version's, {_percent(its.share)}"
    return _of_all(new, strata, usual, _summed(_meanwhile(old, path) for path in old.meanwhile))


def _meanwhile(old: Side, path: str) -> Sample:
    """What hurts both versions at the same time, such as a restart of the database, is no failure of the new one."""
    return Sample.of(old.meanwhile.get(path, Tally()))


def _chance(mine: Sample, its: Sample, whole: Sample, usual: Sample) -> float:
    chance = chance_of_more(mine, its)
    if its.failures:
        return chance
    return min(chance, chance_of_more(mine, whole if chance <= DOUBT else _summed((its, usual))))


def _of_all(new: Side, strata: list[Stratum], usual: Sample, meanwhile: Sample) -> str:
    """Compared path by path, so that it is no failure if visitors ask for other pages than before."""
    mine = _summed(stratum.new for stratum in strata)
    pairs = [(stratum.new, stratum.old) for stratum in strata if stratum.known]
    unknown = [stratum for stratum in strata if not stratum.known]
    pairs.append((_summed(s.new for s in unknown), _summed((usual, *(s.old for s in unknown)))))
    trials, expected, of_old_share = 0, 0.0, 0.0
    for of_new, of_old in pairs:
        both = _summed((of_new, of_old))
        trials += min(of_new.requests, both.failures)
        expected += of_new.requests * both.share
        of_old_share += of_new.requests * of_old.share
    share = of_old_share / max(mine.requests, 1)
    chance = chance_beyond(mine.failures, expected, trials)
    if _is_more(new, ALL, mine, max(share, meanwhile.share)) and chance <= _limit(mine.failures, 1):
        return f"{_in_words(mine)} failed; of the old version's requests for the same paths, {_percent(share)}"
    return ""


def _summed(samples: Iterable[Sample]) -> Sample:
    requests, failures = map(sum, zip(Sample(0, 0), *samples, strict=True))
    return Sample(requests, failures)


def _strata(new: Side, old: Side) -> Iterator[Stratum]:
    """Without the requests that wait long, if some of the old version's did: see `_late`."""
    for path, tally in new.paths.items():
        of_old, burst = old.paths.get(path, Tally()), old.bursts.get(path, 1.0)
        sample = Sample.of_answered if of_old.late else Sample.of
        mine, its = sample(tally), sample(of_old)
        known = its.requests >= KNOWN or its.failures > 0
        yield Stratum(path, mine.thinned(burst), its.thinned(burst), known)


def _late(new: Side, old: Side) -> Iterator[Stratum]:
    """Paths on which requests of both versions wait long: it is no failure to wait as the old version's did."""
    for path, tally in new.paths.items():
        of_old = old.paths.get(path, Tally())
        if of_old.late:
            requests, failures = Sample.of(of_old).requests, Sample.of_answered(of_old).failures + of_old.late
            yield Stratum(path, Sample.of(tally), Sample(requests, min(requests, failures)))


def _is_more(new: Side, path: str, mine: Sample, share: float) -> bool:
    return (
        mine.failures >= LEAST_FAILURES
        and new.looks.get(path, LEAST_LOOKS) >= LEAST_LOOKS
        and mine.share >= max(share * CLEARLY, share + CLEARLY_MORE)
    )


def _limit(failures: int, part: float) -> float:
    """Of CHANCE: what this number of failures gets. All from LEAST_FAILURES on get `part` of one half together."""
    return CHANCE / 2 * part * LEAST_FAILURES / (failures * (failures + 1))


def _in_words(sample: Sample) -> str:
    return f"{sample.failures} of {sample.requests} requests ({_percent(sample.share)})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
