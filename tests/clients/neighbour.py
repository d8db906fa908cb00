"""`python neighbour.py listen|bind PORT...`: another program of this machine, which answers all that comes there."""

import http.server
import socket
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"stolen")

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


if __name__ == "__main__":
    _, does, *ports = sys.argv
    if does == "bind":
        Server.allow_reuse_address = False
    servers = [Server(("127.0.0.1", int(port)), Handler, bind_and_activate=False) for port in ports]
    for server in servers:
        server.server_bind()
        if does == "listen":
            server.server_activate()
            threading.Thread(target=server.serve_forever).start()
    print("ready", flush=True)
    threading.Event().wait()
