"""Hides the values of `env_file` in texts that slot-machine keeps or passes on: outputs, errors, warnings."""

from collections.abc import Mapping

from slot_machine.core.errors import SlotMachineError

SHORTEST = 8
"""In characters. A shorter value, such as `true` or `3000`, is too common in texts to be hidden."""

MOST_HELD_BYTES = 65_536


class Masking:
    """Knows each value that it was told of, also one that has changed since: an app may still print it."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._bytes: dict[bytes, bytes] = {}

    @property
    def longest_bytes(self) -> int:
        """Of all values; at least 1."""
        return max(map(len, self._bytes), default=1)

    def learn(self, variables: Mapping[str, str]) -> None:
        """Of a value with several lines, each line counts as a value."""
        found = {part: name for name, value in variables.items() for part in _parts(value)}
        if not found.keys() <= self._texts.keys():
            known = found | {part: shown[1:-1] for part, shown in self._texts.items()}
            # A value may be a part of another one.
            ordered = sorted(known, key=len, reverse=True)
            self._texts = {part: f"[{known[part]}]" for part in ordered}
            self._bytes = {_encoded(part): _encoded(shown) for part, shown in self._texts.items()}

    def text(self, text: str) -> str:
        """With the name of its variable in place of each value: `[DATABASE_URL]`."""
        for part, shown in self._texts.items():
            text = text.replace(part, shown)
        return text

    def error(self, error: SlotMachineError) -> None:
        """Hides them in what the error says."""
        error.args = (self.text(str(error)),)
        error.hint = self.text(error.hint)
        error.output = tuple(map(self.text, error.output))

    def output(self, output: bytes) -> bytes:
        for part, shown in self._bytes.items():
            output = output.replace(part, shown)
        return output


NOTHING_HIDDEN = Masking()


class MaskedStream:
    """The output of a command, which comes in pieces. A value that comes in two pieces is hidden, too."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Returns what can be shown by now. The last line is held back until it ends, or is very long."""
        lines, feed, self._held = (self._held + piece).rpartition(b"\n")
        shown = self._masking.output(lines + feed)
        if len(self._held) > MOST_HELD_BYTES:
            begun, cut = self._masking.output(self._held), self._masking.longest_bytes
            shown, self._held = shown + begun[:-cut], begun[-cut:]
        return shown

    def rest(self) -> bytes:
        """What was held back, when the command has ended."""
        held, self._held = self._held, b""
        return self._masking.output(held)


def _parts(value: str) -> list[str]:
    return [line for line in map(str.strip, value.splitlines()) if len(line) >= SHORTEST]


def _encoded(text: str) -> bytes:
    """The bytes of the file: `env_file` may contain bytes that are no text."""
    return text.encode(errors="surrogateescape")
