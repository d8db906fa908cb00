"""An app with a database and uploads in its folder. Each answer to /note and /upload stands for something written."""

import http.server
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

DATABASE, UPLOADS, VERSION = "app.db", Path("uploads"), Path("version").read_text()


def opened() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, timeout=20, isolation_level=None)


def counted() -> str:
    with closing(opened()) as db:
        notes = db.execute("SELECT count(*) FROM notes").fetchone()[0]
    return json.dumps(
        {"notes": notes, "uploads": len(list(UPLOADS.iterdir())), "shared": os.environ["SLOT_MACHINE_SHARED"]}
    )


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, name = self.path.lstrip("/").partition("/")
        body = VERSION
        if kind == "note":
            with closing(opened()) as db:
                db.execute("INSERT INTO notes VALUES (?)", (name,))
        elif kind == "upload":
            (UPLOADS / f"{name}.part").write_text(name)
            (UPLOADS / f"{name}.part").rename(UPLOADS / name)
        elif kind == "count":
            body = counted()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


UPLOADS.mkdir(exist_ok=True)
database = opened()
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE IF NOT EXISTS notes (text)")
if "keeps-open" not in sys.argv:
    database.close()
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
