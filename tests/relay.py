"""A relay for TCP that drops connections on which nothing is sent, as firewalls do."""

import select
import socket
import threading
import time


class Relay:
    """`cut` counts the connections that it dropped."""

    def __init__(self, to_port: int, idle_s: float) -> None:
        self.cut = 0
        self._to_port = to_port
        self._idle_s = idle_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._ends = True
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._pass_on, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to_port)) as server:
            other = {client: server, server: client}
            last_s = time.monotonic()
            while not self._ends and time.monotonic() - last_s < self._idle_s:
                for side in select.select(list(other), [], [], 0.05)[0]:
                    last_s = time.monotonic()
                    try:
                        piece = side.recv(65_536)
                        other[side].sendall(piece)
                    except OSError:
                        return
                    if not piece:
                        return
            self.cut += not self._ends
