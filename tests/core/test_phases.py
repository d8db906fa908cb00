from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.backoff import next_delay_s
from slot_machine.core.phases import TABLE, Event, IllegalTransition, Phase, after, diagram

ENDS = {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.INTERRUPTED, Phase.HELD, Phase.SHARED}


@given(st.lists(st.sampled_from(Event), max_size=12))
def test_every_path_stays_in_the_table_and_ends_only_at_an_end(events: list[Event]) -> None:
    phase = Phase.IDLE
    for event in events:
        if event in TABLE[phase]:
            phase = after(phase, event)
        else:
            with pytest.raises(IllegalTransition, match=r"possible: "):
                after(phase, event)
    assert (TABLE[phase] == {}) == (phase in ENDS)


def test_every_phase_is_reachable_and_reaches_an_end() -> None:
    assert reachable(Phase.IDLE) == set(Phase)
    assert all(reachable(phase) & ENDS for phase in Phase)


def test_nothing_switches_that_was_not_healthy() -> None:
    into_switch = [
        (phase, event) for phase, events in TABLE.items() for event, to in events.items() if to is Phase.SWITCH
    ]

    assert into_switch == [(Phase.HEALTH, Event.HEALTHY), (Phase.REHEARSE, Event.HEALTHY)]
    assert [phase for phase, events in TABLE.items() if Phase.REHEARSE in events.values()] == [Phase.HEALTH]


def test_once_switched_a_deploy_cannot_fail() -> None:
    assert reachable(Phase.DRAIN) == {Phase.DRAIN, Phase.SUCCEEDED}


def test_cancel_is_possible_up_to_the_switch_and_in_a_watch() -> None:
    possible = {phase for phase, events in TABLE.items() if Event.CANCEL in events}

    too_late = reachable(Phase.SWITCH) | reachable(Phase.CANCELLING) | {Phase.RESTORE, Phase.HELD}
    assert possible == reachable(Phase.IDLE) - too_late | {Phase.WATCH}


def test_stages_have_their_public_names() -> None:
    assert [phase.stage for phase in Phase][1:15] == [
        "resolve",
        "checkout",
        "setup",
        "build",
        "release",
        "drain",
        "start",
        "health",
        "rehearse",
        "held",
        "switch",
        "shared",
        "watch",
        "drain",
    ]


def test_the_documented_diagram_is_that_of_the_table() -> None:
    document = Path(__file__).parents[2] / "ARCHITECTURE.md"

    assert diagram() in document.read_text()


@given(st.lists(st.floats(min_value=0, max_value=59), min_size=1, max_size=20))
def test_backoff_doubles_from_1_s_to_30_s(healthy: list[float]) -> None:
    delays = [0.0]
    for seconds in healthy:
        delays.append(next_delay_s(delays[-1], seconds))

    assert delays[1:] == [min(2.0**n, 30) for n in range(len(healthy))]
    assert next_delay_s(delays[-1], 60) == 1


def reachable(start: Phase) -> set[Phase]:
    found = {start}
    while new := {to for phase in found for to in TABLE[phase].values()} - found:
        found |= new
    return found
