"""Runs the program by which an engine is reached, `docker` or `kubectl`."""

import json
import os
import subprocess
import threading
from collections.abc import Generator, Mapping
from typing import NamedTuple

from slot_machine.core.errors import EngineFailed

LIMIT_S = 60.0
"""For a question or a change. What takes long has limits of its own."""

MOST_LINES = 20


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Client:
    """`words` are the program and its options, such as `docker --context production`.

    The program is in a session of its own: Ctrl-C in a terminal ends the command, which then puts things in order by
    the same program. All calls raise EngineFailed.
    """

    def __init__(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        self._words = words
        self._env = env

    @property
    def program(self) -> str:
        return self._words[0]

    def argv(self, *args: str) -> list[str]:
        return [*self._words, *args]

    def with_environment(self, env: Mapping[str, str]) -> "Client":
        """The same client with these variables as well."""
        return Client(*self._words, env={**(self._env or {}), **env})

    def attempt(self, *args: str, given: str = "", limit_s: float = LIMIT_S) -> Answer:
        """`given` is what it reads from stdin."""
        try:
            done = subprocess.run(
                [*self._words, *args],
                input=given.encode(errors="surrogateescape"),
                capture_output=True,
                check=False,
                timeout=limit_s,
                env=self._environment(),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise self._missing() from None
        except subprocess.TimeoutExpired:
            raise EngineFailed(
                f"{self.program} {args[0]} did not end within {limit_s:g} s", f"try it by hand: `{self.shown(*args)}`"
            ) from None
        return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def run(self, *args: str, given: str = "", limit_s: float = LIMIT_S) -> str:
        """Its output. Raises EngineFailed, with what it printed to stderr, if its exit code is not 0."""
        answer = self.attempt(*args, given=given, limit_s=limit_s)
        if answer.code:
            raise self.failure(args[0], answer)
        return answer.out

    def ask(self, *args: str, limit_s: float = LIMIT_S) -> object:
        """Its output as JSON."""
        out = self.run(*args, limit_s=limit_s)
        try:
            return json.loads(out or "null")
        except (ValueError, RecursionError):
            raise EngineFailed(f"{self.program} {args[0]} printed no JSON: {out[:200]!r}") from None

    def lines(self, *args: str, given: bytes = b"", limit_s: float = 0) -> Generator[str, None, int]:
        """Its output, stderr too, while it runs; returns the exit code.

        Kills it if nobody reads on, and after `limit_s`, if that is not 0.
        """
        process = self.begin(*args, with_stdin=bool(given))
        assert process.stdout is not None
        limit = threading.Timer(limit_s or threading.TIMEOUT_MAX, process.kill)
        limit.daemon = True
        limit.start()
        try:
            if process.stdin:
                process.stdin.write(given)
                process.stdin.close()
            for line in process.stdout:
                yield line.decode(errors="replace").rstrip("\r\n")
            return process.wait()
        finally:
            limit.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()

    def begin(self, *args: str, with_stdin: bool = False) -> subprocess.Popen[bytes]:
        """With its output, stderr too, in `stdout`. The caller ends it."""
        try:
            return subprocess.Popen(
                [*self._words, *args],
                stdin=subprocess.PIPE if with_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise self._missing() from None

    def through(self, *args: str) -> int:
        """With our own stdin, stdout and stderr. Returns the exit code."""
        try:
            return subprocess.run([*self._words, *args], env=self._environment(), check=False).returncode
        except FileNotFoundError:
            raise self._missing() from None

    def piped(self, *args: str) -> "subprocess.Popen[bytes]":
        """Its stdout and stderr are pipes of their own. The caller ends it."""
        try:
            return subprocess.Popen(
                [*self._words, *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise self._missing() from None

    def failure(self, what: str, answer: Answer) -> EngineFailed:
        lines = (answer.err or answer.out).strip().splitlines()[-MOST_LINES:]
        said = "\n".join(lines) or f"exit code {answer.code}"
        return EngineFailed(f"{self.program} {what} failed: {said}", "`slot-machine engine check` looks for the cause")

    def shown(self, *args: str) -> str:
        return " ".join([*self._words, *args])

    def _environment(self) -> dict[str, str] | None:
        return None if self._env is None else os.environ | dict(self._env)

    def _missing(self) -> EngineFailed:
        return EngineFailed(
            f"{self.program} is not installed here", f"install {self.program}, the client of the engine"
        )
