"""Each line of a log with its time, while the app writes, the daemon rotates, and either of them is killed."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.host.log_index import compaction, content
from slot_machine.host.log_index.cursor import Cursor, Entry, since
from slot_machine.host.log_index.records import Blind, File, Mark, Point, Record, decoded, encoded, index_of
from slot_machine.host.log_index.view import LogView, Segment
from slot_machine.host.log_index.writer import LogIndex
from slot_machine.host.logs import SlotLogs
from slot_machine.host.rotation import LogFile

MAX_BYTES = 100_000


@pytest.fixture(params=["cut", "hole"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where a head is cut off, if the temporary files' file system can do that; and where it becomes a hole."""
    if request.param == "cut":
        yield tmp_path
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            yield Path(name)


def append(path: Path, data: bytes, time_s: float | None = None) -> None:
    with path.open("ab") as file:
        file.write(data)
    if time_s is not None:
        os.utime(path, (time_s, time_s))


def entries(path: Path) -> list[Entry]:
    view = LogView(path)
    found = list(Cursor(view, view.begin).entries(view.end, 0.0, whole=True))
    view.close()
    return found


def texts(path: Path) -> list[str]:
    return [_text(entry) for entry in entries(path)]


def _text(entry: Entry) -> str:
    return f"-- {entry.content.event}" if isinstance(entry.content, Mark) else entry.content.decode()


def line_numbers(found: list[Entry]) -> list[int]:
    return [int(entry.content[:8]) for entry in found if isinstance(entry.content, bytes)]


def test_time_of_a_line_is_when_the_log_grew(tmp_path: Path) -> None:
    path, now_s = tmp_path / "app.log", time.time()
    file = LogFile(path, 0, 1)
    path.touch()
    file.look()
    for number in range(3):
        append(path, b"line\n", now_s + number / 10)
        time.sleep(0.11)
        file.look()

    times = [entry.time for entry in entries(path)]
    assert [round(found - now_s, 1) for found in times if found] == pytest.approx([0.0, 0.1, 0.2], abs=0.11)


def test_lines_that_nobody_saw_come_have_no_time(tmp_path: Path) -> None:
    path, now_s = tmp_path / "app.log", time.time()
    append(path, b"before the index\n")
    first = LogFile(path, 0, 1)
    first.look()
    append(path, b"seen\n")
    first.look()
    first.close()
    append(path, b"while no daemon ran\n")
    os.utime(index_of(path), (now_s - 60, now_s - 60))
    second = LogFile(path, 0, 1)
    second.look()
    append(path, b"seen again\n")
    second.look()

    assert [(_text(entry), entry.time is not None) for entry in entries(path)] == [
        ("before the index", False),
        ("seen", True),
        ("while no daemon ran", False),
        ("seen again", True),
    ]


def test_lines_of_a_reload_have_their_time(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.touch()
    first = LogFile(path, 0, 1)
    first.look()
    first.close()
    append(path, b"during the reload\n")
    LogFile(path, 0, 1).look()


@pytest.mark.parametrize("how", ["copytruncate", "regrown", "another file"])
@pytest.mark.parametrize("daemon", ["daemon runs", "no daemon"])
def test_log_that_somebody_else_cut_or_replaced_has_no_wrong_time(tmp_path: Path, how: str, daemon: str) -> None:
    path = tmp_path / "app.log"
    path.touch()
    file = LogFile(path, 0, 1)
    file.look()
    append(path, b"old line\n" * 10)
    file.look()
    if how == "another file":
        path.rename(tmp_path / "away")
        append(path, b"new line\n" * 30)
    else:
        os.truncate(path, 0)
        append(path, b"new line\n" * (2 if how == "copytruncate" else 30))
    if daemon == "daemon runs":
        file.look()

    found = entries(path)
    assert {_text(entry) for entry in found} == {"new line"}
    if daemon == "daemon runs" or how != "copytruncate":
        assert {entry.time for entry in found} <= {None, *([found[-1].time] if daemon == "no daemon" else [])}
    append(path, b"later\n")
    LogFile(path, 0, 1).look()
    file.look()
    assert _text(entries(path)[-1]) == "later"


def test_index_survives_the_kill_of_a_daemon_in_each_step_of_a_rotation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = b"".join(b"%08d %s\n" % (number, b"x" * (number % 171)) for number in range(3000))
    for step in ("_copy", "_cut_off", "_renumber", "cutting", "cut"):
        owner: type = LogFile if step.startswith("_") else LogIndex
        carry_out = getattr(owner, step)
        for when in ("before", "after"):
            path = folder / f"{step}.{when}.log"
            path.touch()
            file = LogFile(path, MAX_BYTES, 5)
            file.look()
            append(path, written)
            file.look()

            def killed(*arguments: object, when: str = when, carry_out=carry_out) -> None:  # type: ignore[no-untyped-def]
                if when == "after":
                    carry_out(*arguments)
                raise KeyboardInterrupt

            with monkeypatch.context() as patched:
                patched.setattr(owner, step, killed)
                with pytest.raises(KeyboardInterrupt):
                    file.rotate()
            monkeypatch.setattr("slot_machine.host.log_index.view.CUT_LIMIT_S", 0)
            assert line_numbers(entries(path)) == list(range(3000)), (step, when)
            LogFile(path, MAX_BYTES, 5).rotate()
            found = entries(path)
            assert line_numbers(found) == list(range(3000)), (step, when)
            assert all(entry.time for entry in found), (step, when)


def test_rotation_while_somebody_looks_where_to_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "app.log"
    path.touch()
    file = LogFile(path, MAX_BYTES, 5)
    file.look()
    append(path, b"".join(b"%08d %s\n" % (number, b"x" * (number % 171)) for number in range(3000)))
    file.look()
    view = LogView(path)
    found = LogView._found

    def rotated_meanwhile(self: LogView) -> list[Segment]:
        segments = found(self)
        file.rotate()
        return segments

    monkeypatch.setattr(LogView, "_found", rotated_meanwhile)
    assert line_numbers(list(Cursor(view, 0).entries(1_000_000, 0.0, whole=True))) == list(range(3000))
    view.close()


def test_commands_and_the_app_are_told_apart(tmp_path: Path) -> None:
    logs = SlotLogs(tmp_path, 0, 0)
    logs.look()
    setup, app = logs.open("a"), logs.open("a")
    setup.of_command(7, "setup")
    setup.write(b"inst")
    os.write(app.fd, b"app\n")
    setup.write(b"alled\nready")
    setup.close()
    app.write(b"app again\n")
    logs.look()

    assert [(_text(entry), entry.stage, entry.attempt) for entry in entries(tmp_path / "slot-a.log")] == [
        ("inst", "setup", 7),
        ("app", "", 0),
        ("alled", "setup", 7),
        ("ready", "setup", 7),
        ("app again", "", 0),
    ]


def test_marks_stand_where_it_happened(tmp_path: Path) -> None:
    logs = SlotLogs(tmp_path, 0, 0)
    first = logs.open("a")
    os.write(first.fd, b"one\nunfinis")
    logs.of_attempt("a", 7)
    logs.started("a", "web", "c" * 40, 1, first.begin)
    logs.switched("a", "c" * 40)
    os.write(first.fd, b"hed\nat the en")
    logs.ended("a", "web", "killed by SIGKILL")
    second = logs.open("a")
    os.write(second.fd, b"next\n")
    logs.started("a", "web", "c" * 40, 2, second.begin)

    assert texts(tmp_path / "slot-a.log") == [
        "-- start",
        "one",
        "unfinished",
        "-- switch",
        "at the en",
        "-- exit",
        "-- start",
        "next",
    ]
    assert {entry.attempt for entry in entries(tmp_path / "slot-a.log")} == {0, 7}


def test_index_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.log"
    path.touch()
    file = LogFile(path, 0, 1)
    file.look()
    monkeypatch.setattr(compaction, "MOST_BYTES", 8000)
    monkeypatch.setattr("slot_machine.host.log_index.writer.MOST_BYTES", 8000)
    view = LogView(path)
    cursor = Cursor(view, 0)
    seen = 0
    for number in range(1000):
        append(path, b"%d\n" % number)
        file.look()
        if number % 100 == 0:
            file.mark("start", "started", number, None)
        seen += len(list(cursor.entries(view.end, 0.0, whole=False)))
        assert index_of(path).stat().st_size < 9000

    records = list(decoded(index_of(path).read_bytes()))
    assert len([record for record in records if isinstance(record, Point)]) > 100
    assert [record.attempt for record in records if isinstance(record, Mark)] == list(range(0, 1000, 100))
    assert seen == 1010
    assert len(entries(path)) == 1010
    view.close()


def test_bytes_that_nobody_saw_come_get_no_time_when_the_index_is_made_smaller() -> None:
    lines = [b'["u",10,1.0,1]', b'["p",20,2.0,1]', b'["p",30,3.0,1]', b'["p",40,4.0,1]']
    assert compaction._thinned(lines) == [b'["u",10,1.0,1]', b'["p",20,2.0,1]', b'["p",30,3.0,1]', b'["p",40,4.0,1]']
    assert compaction._thinned([b'["p",5,0.5,1]', *lines[:3]]) == lines[:3]


def test_index_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "app.log"
    index_of(path).mkdir()
    path.touch()
    file = LogFile(path, MAX_BYTES, 5)
    file.look()
    append(path, b"line\n" * 500_000)
    file.look()
    file.mark("exit", "ended", 0, None)
    file.rotate()

    assert len(caplog.records) == 1
    assert list(tmp_path.glob("app.log.1"))


def test_index_that_somebody_deletes_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.touch()
    file = LogFile(path, 0, 1)
    file.look()
    append(path, b"one\n")
    file.look()
    index_of(path).unlink()
    append(path, b"two\n")
    file.look()

    assert [(_text(entry), entry.time is not None) for entry in entries(path)] == [("one", False), ("two", True)]


def test_index_that_is_not_there_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "app.log"
    file = LogFile(path, 0, 1)
    file.look()
    file.close()
    path.touch()
    file.look()
    index_of(path).unlink()
    file.look()
    file.close()

    assert caplog.records == []


def test_torn_and_unknown_records_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.touch()
    file = LogFile(path, 0, 1)
    file.look()
    append(path, b"one\n")
    file.look()
    file.close()
    append(index_of(path), b'["later",1]\n["p",12')
    append(path, b"two\n")
    LogFile(path, 0, 1).look()

    assert texts(path) == ["one", "two"]
    assert all(entry.time for entry in entries(path))


def test_since_begins_with_the_line_that_was_written_then(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"a\nb\nc\nd\n")
    with path.open("rb") as log:
        ends = [(end, content.check(log.fileno(), end)) for end in (2, 5, 8)]
    times: list[Record] = [Blind(2, 100.0, ends[0][1]), Point(5, 200.0, ends[1][1]), Point(8, 300.0, ends[2][1])]
    index_of(path).write_bytes(b"".join(encoded(record) for record in [File(0, path.stat().st_ino), *times]))
    view = LogView(path)
    assert [since(view, moment) for moment in (50.0, 150.0, 250.0, 350.0)] == [2, 2, 4, 8]
    view.close()


def test_line_without_an_end_is_shown_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"x" * 2_500_000)
    lengths = [len(_text(entry)) for entry in entries(path)]
    assert sum(lengths) == 2_500_000
    assert max(lengths) < 1_500_000
