"""The output of a job while it runs, and all of it: nothing is lost at its end, and nothing comes twice."""

import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from slot_machine.engines.client import Client

PIECE_BYTES = 65_536
LIMIT_S = 60.0
QUIET_S = 0.2


class Piece(NamedTuple):
    data: bytes
    is_error: bool


class Output:
    """Of a service. `docker service logs --follow` does not end with the job, and may miss its last lines.

    So that is killed, and what it has not told is read afterwards. Used as a context manager.
    """

    def __init__(self, client: Client, service: str) -> None:
        self._client = client
        self._service = service
        self._pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        self._told = {False: 0, True: 0}
        self._follower: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def follow(self) -> None:
        """Does nothing the second time."""
        if self._follower:
            return
        self._follower = follower = self._client.piped("service", "logs", "--follow", "--raw", self._service)
        for stream, is_error in ((follower.stdout, False), (follower.stderr, True)):
            assert stream
            thread = threading.Thread(target=self._read, args=(stream, is_error), daemon=True)
            thread.start()
            self._threads.append(thread)

    def new(self, wait_s: float) -> Iterator[Piece]:
        """What has come, or comes within this time."""
        with suppress(queue.Empty):
            yield self._counted(self._pieces.get(timeout=wait_s))
            while True:
                yield self._counted(self._pieces.get(timeout=QUIET_S))

    def rest(self) -> Iterator[Piece]:
        """What has not been told of the output of a job that has ended."""
        self._stop()
        while not self._pieces.empty():
            yield self._counted(self._pieces.get())
        whole = self._client.piped("service", "logs", "--raw", self._service)
        try:
            for data, is_error in zip(whole.communicate(timeout=LIMIT_S), (False, True), strict=True):
                if rest := data[self._told[is_error] :]:
                    yield self._counted(Piece(rest, is_error))
        finally:
            whole.kill()
            whole.wait()

    def _counted(self, piece: Piece) -> Piece:
        self._told[piece.is_error] += len(piece.data)
        return piece

    def _read(self, stream: IO[bytes], is_error: bool) -> None:
        while data := stream.read1(PIECE_BYTES):  # type: ignore[attr-defined]
            self._pieces.put(Piece(data, is_error))

    def _stop(self) -> None:
        if self._follower:
            self._follower.kill()
            self._follower.wait()
            for thread in self._threads:
                thread.join()
            for stream in (self._follower.stdout, self._follower.stderr):
                assert stream
                stream.close()
            self._threads.clear()
