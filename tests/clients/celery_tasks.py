"""A Celery app whose queue is a folder, and whose only task takes some seconds."""

import os
import time
from pathlib import Path

from celery import Celery  # type: ignore[import-untyped]

FOLDER = Path(os.environ["CELERY_FOLDER"])
QUEUE = FOLDER / "queue"
QUEUE.mkdir(exist_ok=True)

app = Celery("celery_tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(QUEUE),
    "data_folder_out": str(QUEUE),
    "control_folder": str(QUEUE),
}


@app.task  # type: ignore[untyped-decorator]
def work(name: str, seconds: float) -> None:
    note(f"began {name}")
    time.sleep(seconds)
    note(f"ended {name}")


def note(what: str) -> None:
    with (FOLDER / "notes").open("a") as file:
        file.write(f"{what}\n")
