"""Takes a log apart, from a position on: its lines, with their times, and the marks between them."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal, NamedTuple

from slot_machine.host.log_index.records import Blind, Mark, Output, Point, Stage
from slot_machine.host.log_index.view import LogView

LONGEST_LINE_BYTES = 1_000_000
"""A longer line is shown in pieces."""

SEARCHED_BYTES = 65_536


class Entry(NamedTuple):
    """A line without its end, or a mark. `order` never falls in one log; `time` is None if it is not known.

    `stage` is empty for a line of the app.
    """

    order: float
    time: float | None
    content: bytes | Mark
    stage: Stage | Literal[""] = ""
    attempt: int = 0


class Cursor:
    """All before `position` was returned already. Each method raises OSError."""

    def __init__(self, view: LogView, position: int) -> None:
        self.view = view
        self.position = position
        self._order = 0.0
        self._marks = [mark for mark in view.marks if mark.at >= position]
        self._version = view.version
        self._taken = len(view.marks)
        self._taken_time = view.marks[-1].time if view.marks else 0.0
        self._point_end = -1
        self._time: float | None = None

    def entries(self, end: int, seen: float, *, whole: bool) -> Iterator[Entry]:
        """Up to the position `end`. `whole`: the last line is returned though the app may go on with it.

        `seen` is the `since` of `LogView.written`.
        """
        unread = b""
        while True:
            begin, piece = self.view.read(self.position + len(unread), end)
            self._take_marks()
            if unread and begin > self.position + len(unread):
                yield self._line(unread, seen)
                unread = b""
            if not piece:
                break
            if not unread:
                self.position = begin
            unread += piece
            taken = 0
            while length := self._line_length(unread, taken):
                yield from self._due()
                yield self._line(unread[taken : taken + length], seen)
                taken += length
            unread = unread[taken:]
        if unread and whole:
            yield from self._due()
            yield self._line(unread, seen)
        yield from self._due()

    def _due(self) -> Iterator[Entry]:
        """The marks that come before the next line."""
        while self._marks and self._marks[0].at <= self.position:
            mark = self._marks.pop(0)
            self._order = max(self._order, mark.time)
            yield Entry(self._order, mark.time, mark, "", mark.attempt)

    def _line_length(self, data: bytes, begin: int) -> int:
        """0 if its end has not come. A line ends also where a run begins or ends, and where a command's output does."""
        length = data.find(b"\n", begin) + 1 - begin
        here = len(data) - begin
        if length <= 0:
            length = here if here >= LONGEST_LINE_BYTES else 0
        limit = self._next_edge() - self.position
        return limit if 0 < limit <= (length or here) else length

    def _next_edge(self) -> int:
        edges = [mark.at for mark in self._marks[:8] if mark.event in ("start", "exit") and mark.at > self.position]
        if output := self._output():
            edges.append(output.begin if output.begin > self.position else output.end)
        return min(edges, default=0)

    def _output(self) -> Output | None:
        """The first that ends behind the position."""
        outputs = self.view.outputs
        number = bisect_right(outputs, self.position, key=lambda output: output.end)
        return outputs[number] if number < len(outputs) else None

    def _line(self, data: bytes, seen: float) -> Entry:
        output = self._output()
        of_command = output if output and output.begin <= self.position else None
        self._look_up_time(seen)
        self.position += len(data)
        text = data.removesuffix(b"\n").removesuffix(b"\r")
        if of_command:
            return Entry(self._order, self._time, text, of_command.stage, of_command.attempt)
        return Entry(self._order, self._time, text)

    def _look_up_time(self, seen: float) -> None:
        if self.position < self._point_end:
            return
        points = self.view.points
        number = bisect_right(points, self.position, key=lambda point: point.end)
        if number < len(points):
            point = points[number]
            self._point_end = point.end
            self._time, order = point.time if isinstance(point, Point) else None, point.time
        else:
            self._time, order = self.view.written(seen)
        self._order = max(self._order, order)

    def _take_marks(self) -> None:
        marks = self.view.marks
        if self._version != self.view.version:
            self._version = self.view.version
            self._taken = sum(mark.time <= self._taken_time for mark in marks)
        if added := marks[self._taken :]:
            self._marks = sorted(self._marks + added, key=lambda mark: mark.at)
            self._taken, self._taken_time = len(marks), added[-1].time


def line_begin(view: LogView, position: int) -> int:
    """Where the line begins that this position is in; or the oldest byte that is left of it."""
    begin = max(position - SEARCHED_BYTES, view.begin)
    data = b""
    while begin < position:
        found, piece = view.read(begin, position)
        if not piece:
            break
        data = data + piece if found == begin else piece
        begin = found + len(piece)
    return begin - len(data) + data.rfind(b"\n") + 1


def since(view: LogView, time: float) -> int:
    """The position from which on lines were written at this time or later, or perhaps so."""
    points = view.points
    number = next((number for number, point in enumerate(points) if point.time >= time), len(points))
    if number:
        return line_begin(view, points[number - 1].end)
    # Nothing is known of what was there before the index was.
    return points[0].end if points and isinstance(points[0], Blind) else 0
