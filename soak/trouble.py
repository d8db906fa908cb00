"""Troubles from outside of the daemon: a full disk, a bad env file, another program on the app's port."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spec.waiting import wait_until
from tests import neighbours
from tests.world import Site

DISK_MB = 192
ENV_FILE = "app.env"
IS_ROOT = os.geteuid() == 0
"""Only root can mount file systems and start programs as another user."""


@contextmanager
def small_disk(site: Site) -> Iterator[None]:
    """Mounts a small file system at the data folder, so that the soak can fill it. Without root, it does nothing."""
    if not IS_ROOT:
        yield
        return
    site.data.mkdir()
    image = site.folder / "disk.img"
    image.touch()
    os.truncate(image, DISK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, site.data], check=True)
    try:
        (site.data / "lost+found").rmdir()
        yield
    finally:
        subprocess.run(["umount", "--lazy", site.data], check=True)


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    """Fills the file system of the data folder to the last byte."""
    filler = site.data / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def neighbour(site: Site, commit: str) -> Iterator[None]:
    """Waits until that version boots. Then a program of another user listens on its port."""
    port = wait_until("the version boots", lambda: neighbours.port_of(site, commit))
    with neighbours.neighbour(port):
        yield


def write_env_file(site: Site) -> None:
    (site.folder / ENV_FILE).write_text("GREETING='hello'\n")


@contextmanager
def bad_env_file(site: Site, rng: random.Random) -> Iterator[None]:
    path = site.folder / ENV_FILE
    path.unlink()
    rng.choice(BAD)(path)
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        write_env_file(site)


def _nothing(_: Path) -> None:
    pass


def _nul(path: Path) -> None:
    path.write_bytes(b"A=1\nB=x\0y\n")


def _unparsable(path: Path) -> None:
    path.write_text("A=1\n'B=C'=d\n")


BAD: tuple[Callable[[Path], None], ...] = (_nothing, _nul, _unparsable, Path.mkdir, os.mkfifo)
