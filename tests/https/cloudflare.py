"""A stand-in for Cloudflare's proxy: what that asks of an origin, and with which fields, as its documentation says."""

import http.client
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from tests.https.conftest import ABROAD

Mode = Literal["flexible", "strict"]
LIMIT_S = 10.0
OWN = ("connection", "keep-alive", "transfer-encoding")


class Cloudflare:
    """On the ports 80 and 443 of ABROAD, in front of an origin on loopback.

    "flexible" asks the origin over HTTP, whatever the visitor asked; "strict" asks over the visitor's scheme, and
    verifies the origin's certificate.
    """

    def __init__(self, folder: Path, name: str, mode: Mode, origin_roots: Path) -> None:
        self.mode = mode
        self.trusting = ssl.create_default_context(cafile=str(origin_roots))
        self.cert = folder / "cloudflare.pem"
        key = folder / "cloudflare.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(self.cert),
             "-days", "9", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
            check=True, capture_output=True,
        )  # fmt: skip
        self._servers = [Front((ABROAD, port), self, scheme) for port, scheme in ((80, "http"), (443, "https"))]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self._servers[1].socket = context.wrap_socket(self._servers[1].socket, server_side=True)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def to_origin(self, scheme: str, host: str) -> http.client.HTTPConnection:
        if self.mode == "flexible" or scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", 80, timeout=LIMIT_S, source_address=(ABROAD, 0))
        origin = ("127.0.0.1", 443)
        raw = socket.create_connection(origin, LIMIT_S, source_address=(ABROAD, 0))
        connection = http.client.HTTPSConnection(host, timeout=LIMIT_S)
        connection.sock = self.trusting.wrap_socket(raw, server_hostname=host)
        return connection

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class Front(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], cloudflare: Cloudflare, scheme: str) -> None:
        self.cloudflare, self.scheme = cloudflare, scheme
        super().__init__(address, Visit)


class Visit(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def do_GET(self) -> None:
        visitor, scheme = str(self.client_address[0]), self.server.scheme
        fields = {name: value for name, value in self.headers.items() if name.lower() not in OWN}
        chain = [value for name, value in fields.items() if name.lower() == "x-forwarded-for"]
        replaced = ("x-forwarded-for", "x-forwarded-proto", "cf-connecting-ip", "cf-visitor")
        fields = {name: value for name, value in fields.items() if name.lower() not in replaced}
        fields |= {
            "X-Forwarded-For": ", ".join([*chain, visitor]),
            "X-Forwarded-Proto": scheme,
            "CF-Connecting-IP": visitor,
            "CF-Visitor": f'{{"scheme":"{scheme}"}}',
            "CF-Ray": "230b030023ae2822-SJC",
        }
        origin = self.server.cloudflare.to_origin(scheme, self.headers["Host"])
        origin.request("GET", self.path, headers=fields)
        reply = origin.getresponse()
        body = reply.read()
        origin.close()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in (*OWN, "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
