"""The records of requests: a month of minutes in one file, bounded and of no importance to anything else."""

import sqlite3
from pathlib import Path

import pytest

from slot_machine.core.minutes import OTHER, Minute, Tally
from slot_machine.state.stats import DAY, KEPT, MOST_PATHS, NAME, QUARTERS_KEPT, Stats, decode, encode

NOON = 20_000 * DAY + 12 * 60
"""A time in minutes."""


@pytest.fixture
def stats(tmp_path: Path) -> Stats:
    return Stats(tmp_path / NAME)


def minute(at: int, path: str = "/", number: int = 1, slot: str = "a", errors: int = 0) -> Minute:
    return Minute(at, slot, {path: Tally({10: number}, errors)})


def test_workers_and_later_parts_of_a_minute_are_summed_up(stats: Stats) -> None:
    stats.add([minute(NOON), minute(NOON, errors=1), minute(NOON, slot="b")])
    stats.add([minute(NOON + 14)])
    stats.add([minute(NOON + 15)])

    quarters, paths = stats.since(NOON)
    assert quarters == {
        (NOON, "a"): Tally({10: 3}, 1),
        (NOON, "b"): Tally({10: 1}),
        (NOON + 15, "a"): Tally({10: 1}),
    }
    assert paths == {"/": Tally({10: 5}, 1)}


def test_earlier_minutes_are_left_out(stats: Stats) -> None:
    stats.add([minute(NOON - 16, "/old"), minute(NOON - 1, "/a"), minute(NOON + 1, "/b")])

    quarters, paths = stats.since(NOON)
    assert set(quarters) == {(NOON, "a")}
    assert set(paths) == {"/b"}


def test_paths_of_a_slot_are_those_of_quarters_in_which_no_other_one_had_requests(stats: Stats) -> None:
    stats.add([minute(NOON, "/old"), minute(NOON + 15, "/a"), minute(NOON + 16, "/unserved", slot="")])
    stats.add(
        [minute(NOON + 30, "/both"), minute(NOON + 44, "/both", slot="b"), minute(NOON + 45, "/only-b", slot="b")]
    )

    assert set(stats.paths_of("a", NOON + 20)) == {"/a", "/unserved"}
    assert set(stats.paths_of("b", NOON + 20)) == {"/only-b"}


def test_nothing_counted_yet_is_no_error(stats: Stats) -> None:
    assert stats.since(0) == ({}, {})


def test_paths_of_a_quarter_are_bounded(stats: Stats) -> None:
    stats.add([minute(NOON, f"/{number}") for number in range(MOST_PATHS + 5)])
    stats.add([minute(NOON + 1, "/0"), minute(NOON + 15, "/new")])

    paths = stats.since(NOON).paths
    assert paths[OTHER].requests == 5
    assert paths["/0"].requests == 2
    assert paths["/new"].requests == 1


def test_paths_of_a_day_are_summed_up_and_a_month_is_kept(stats: Stats, tmp_path: Path) -> None:
    day = NOON - NOON % DAY
    stats.add([minute(day - KEPT, "/gone")])
    for quarter in range(0, DAY, 15):
        stats.add([minute(day + quarter, "/often", 5), minute(day + quarter, f"/{quarter}")])
    stats.add([minute(day + DAY + QUARTERS_KEPT + 60, "/now")])

    quarters, paths = stats.since(0)
    assert "/gone" not in paths
    assert min(begin for begin, _ in quarters) == day
    assert paths["/often"].requests == 5 * DAY // 15
    assert sum(tally.requests for tally in paths.values()) == 6 * DAY // 15 + 1
    with sqlite3.connect(tmp_path / NAME) as db:
        assert db.execute("SELECT DISTINCT begin FROM paths ORDER BY begin").fetchall() == [
            (day,),
            (day + DAY + QUARTERS_KEPT + 60,),
        ]
    assert set(stats.since(day + 60).paths) == set(paths)


def test_month_of_a_busy_app_takes_a_few_megabytes(stats: Stats, tmp_path: Path) -> None:
    """A tenth of it, without the paths of days that are summed up."""
    wide = {bucket: 1000 + bucket for bucket in range(10, 28)}
    stats.add([Minute(NOON + at, "a", {"/": Tally(wide, 3)}) for at in range(KEPT // 10)])

    assert (tmp_path / NAME).stat().st_size < 600_000


def test_file_is_for_the_daemons_user_only(stats: Stats, tmp_path: Path) -> None:
    stats.add([minute(NOON)])

    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_damaged_file_is_put_aside(stats: Stats, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database at all" * 1000)

    stats.add([minute(NOON)])

    assert stats.since(NOON).paths
    assert (tmp_path / f"{NAME}.damaged").read_bytes().startswith(b"no database")


def test_file_of_a_newer_slot_machine_stays_as_it_is(stats: Stats, tmp_path: Path) -> None:
    stats.add([minute(NOON)])
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute("PRAGMA user_version = 9")
    before = (tmp_path / NAME).read_bytes()

    with pytest.raises(sqlite3.OperationalError, match="newer"):
        stats.add([minute(NOON)])
    assert (tmp_path / NAME).read_bytes() == before


def test_interrupted_write_leaves_what_was_there(stats: Stats, monkeypatch: pytest.MonkeyPatch) -> None:
    stats.add([minute(NOON)])
    before = stats.since(NOON)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("slot_machine.state.stats._add_path", full)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            stats.add([minute(NOON + 1)])
    assert stats.since(NOON) == before


def test_rows_of_an_earlier_version_have_no_anonymous_requests_and_no_repeats() -> None:
    assert decode(encode(({10: 2}, 1))) == Tally({10: 2}, 1, 0, 0)
    assert decode(encode(({10: 2}, 1, 5, 1, 0, 2, "of a later version"))) == Tally({10: 2}, 1, 5, 1, 0, 2)
