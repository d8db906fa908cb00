"""A service manager for tests: it listens where NOTIFY_SOCKET points.

It reads all the time, as the kernel keeps a few datagrams only and drops what more comes.
"""

import secrets
import select
import socket
import threading
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
        self._lock = threading.Lock()
        self._ended, self._end = socket.socketpair()
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()
        self._reader.join()
        self._ended.close()
        self._socket.close()

    def words(self) -> list[str]:
        with self._lock:
            while True:
                try:
                    self.told.append(self._socket.recv(65536).decode().split("\n"))
                except BlockingIOError:
                    return [word for datagram in self.told for word in datagram]

    def _read(self) -> None:
        while self._ended not in select.select([self._socket, self._ended], [], [])[0]:
            self.words()

    def count(self, word: str) -> int:
        return self.words().count(word)

    def forget(self) -> None:
        self.words()
        self.told.clear()

    def wait_for(self, word: str, times: int = 1) -> None:
        wait_until(f"{word} comes", partial(self._has, word, times))

    def _has(self, word: str, times: int) -> bool:
        return self.count(word) >= times
