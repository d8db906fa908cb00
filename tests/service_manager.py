"""A service manager for tests: it listens where NOTIFY_SOCKET points."""

import secrets
import socket
from functools import partial
from typing import Self

from spec.waiting import wait_until


class FakeManager:
    """`told` are the datagrams that came so far, each as its lines."""

    def __init__(self, address: str = "") -> None:
        self.address = address or f"@slot-machine-test-{secrets.token_hex(8)}"
        self.told: list[list[str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address.replace("@", "\0", 1) if self.address.startswith("@") else self.address)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def words(self) -> list[str]:
        while True:
            try:
                self.told.append(self._socket.recv(65536).decode().split("\n"))
            except BlockingIOError:
                return [word for datagram in self.told for word in datagram]

    def count(self, word: str) -> int:
        return self.words().count(word)

    def forget(self) -> None:
        self.words()
        self.told.clear()

    def wait_for(self, word: str, times: int = 1) -> None:
        wait_until(f"{word} comes", partial(self._has, word, times))

    def _has(self, word: str, times: int) -> bool:
        return self.count(word) >= times
