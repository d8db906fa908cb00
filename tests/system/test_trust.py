"""Steps of trust under load. `make soak-trust` does a hundred of each."""

from soak.trust import FILE, Trust
from soak.visitors import Visitors

from tests.world import Site

ROUNDS = 2


def test_no_request_fails_but_those_that_a_bad_version_answers(site: Site) -> None:
    site.start(app_config=FILE)
    visitors = Visitors(site.port)
    trust = Trust(site, visitors)
    trust.begin()
    with visitors.running():
        for number in range(ROUNDS):
            trust.round(number)

    assert visitors.failures + visitors.misplaced_writes(trust.writes) == []
    assert trust.did["return"] == trust.did["return from a share"] == ROUNDS
    assert visitors.refused.total() > 0
