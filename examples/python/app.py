import os

from flask import Flask

app = Flask(__name__)


@app.get("/healthz")
def health() -> str:
    return "ok"


@app.get("/")
def hello() -> dict[str, str | None]:
    return {
        "hello": "from Python",
        "slot": os.environ.get("SLOT_MACHINE_SLOT"),
        "commit": os.environ.get("SLOT_MACHINE_COMMIT"),
    }
