"""An entry of the history in words, for `history` and `show`."""

from collections.abc import Iterator
from datetime import datetime

from slot_machine.cli import words
from slot_machine.cli.client import Json
from slot_machine.cli.words import ago, cut, number, pad, short_span, span, text

HEADINGS = ("ID", "AGE", "KIND", "COMMIT", "RESULT", "WHO", "WHAT")
LONGEST = (6, 4, 8, 8, 19, 12)
"""Of all columns but the last one, which has the rest."""
SHORTEST_LAST = 10

CRASHES = {"running": "does not run", "succeeded": "runs again"}
"""What the results of crashes mean."""

COUNTED = ("finished", "replayed", "held", "refused", "cut", "cut_streams")


def table(entries: "list[Json]") -> Iterator[str]:
    """One line for each, and one with headings. As wide as the terminal: what a commit is called is cut."""
    cells = [HEADINGS, *map(_cells, entries)]
    widths = [min(max(words.width(line[place]) for line in cells), most) for place, most in enumerate(LONGEST)]
    rest = max(words.columns() - sum(widths) - 2 * len(widths), SHORTEST_LAST)
    for line in cells:
        fitted = [pad(cut(cell, width), width) for cell, width in zip(line, [*widths, rest], strict=True)]
        yield "  ".join(fitted).rstrip()


def _cells(entry: Json) -> tuple[str, ...]:
    return (
        text(entry, "id"),
        short_span(words.age_s(text(entry, "started_at"))),
        text(entry, "kind"),
        text(entry, "commit")[:8],
        _result(entry),
        text(entry, "who") or "-",
        _what(entry),
    )


def _result(entry: Json) -> str:
    """In a few words: what became of it, and how long it took, or in which stage it ended."""
    result, stage = text(entry, "result"), text(entry, "stage")
    if entry.get("kind") == "crash":
        away_s = number(entry, "away_s")
        return f"away {span(away_s)}" if away_s and result == "succeeded" else CRASHES.get(result, result)
    if result == "succeeded":
        return f"ok, {span(number(entry, 'seconds'))}"
    if result == "held":
        return result
    if result == "shared":
        return f"ok, {number(entry, 'share'):g}%"
    if result == "running":
        return f"runs: {stage}" if stage else "runs"
    return f"{result}: {stage}" if stage else result


def _what(entry: Json) -> str:
    """The error if there is one, else what the watch came to, and what the commit is called."""
    if error := text(entry, "error"):
        return error
    if job := text(entry, "job"):
        return job
    if verdict := text(entry, "verdict"):
        return f"{verdict}: {text(entry, 'subject')}"
    ref, subject = text(entry, "ref"), text(entry, "subject")
    return f"{ref}: {subject}" if ref and subject else ref or subject


def details(entry: Json) -> Iterator[str]:
    """All that the history has of it, and what its commands printed."""
    yield words.row(f"{text(entry, 'kind')} {text(entry, 'id')}", [_outcome(entry)])
    for name, lines in _fields(entry):
        if any(lines):
            yield words.row(name, lines)
    outputs = entry.get("output")
    for stage, output in outputs.items() if isinstance(outputs, dict) else ():
        yield ""
        yield f"output of {stage}:"
        yield from (f"  | {line}" for line in str(output).splitlines())


def _fields(entry: Json) -> "Iterator[tuple[str, list[str]]]":
    started = text(entry, "started_at")
    yield "commit", [text(entry, "commit")]
    for name in ("subject", "author", "ref", "slot", "job", "cause", "message"):
        yield name, [text(entry, name)]
    yield "by", [f"{text(entry, 'who') or 'nobody that is known'} ({text(entry, 'trigger')})"]
    yield "started", [f"{_local(started)}, {ago(started)}"]
    yield "took", [_durations(entry)]
    yield "requests", [_requests(entry)]
    yield "verdict", [text(entry, "verdict")]
    yield "error", str(entry.get("error", "")).splitlines()
    warnings = entry.get("warnings")
    yield "warnings", [" ".join(str(warning).split()) for warning in warnings] if isinstance(warnings, list) else []


def _outcome(entry: Json) -> str:
    result, stage = text(entry, "result"), text(entry, "stage")
    said = (
        f"{result} in stage {stage}" if stage and result not in ("succeeded", "running", "held", "shared") else result
    )
    if result == "running" and stage:
        said = f"runs, in stage {stage}"
    if entry.get("kind") == "crash":
        said = CRASHES.get(result, result)
    if share := number(entry, "share"):
        said += f": {share:g}% of the visitors"
    if away_s := number(entry, "away_s"):
        said += f"; the port answered 503 for {span(away_s)}"
    return said


def _durations(entry: Json) -> str:
    stages = entry.get("stage_seconds")
    each = [f"{stage} {seconds:.2f}s" for stage, seconds in stages.items()] if isinstance(stages, dict) else []
    whole_s = words.age_s(text(entry, "started_at")) if entry.get("result") == "running" else number(entry, "seconds")
    return ": ".join(filter(None, [span(whole_s), ", ".join(each)]))


def _requests(entry: Json) -> str:
    counts = entry.get("requests")
    if not isinstance(counts, dict):
        return ""
    said = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count and name in COUNTED]
    return ", ".join(said) or "none was in flight at the switch"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
