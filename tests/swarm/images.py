"""The images of the lab: a Debian with Python, as most apps' base images are, and single programs of this machine."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASE = "lab/base:1"
"""Debian with Python, sh, coreutils and useradd. On each node from the start."""
PACKAGES = "python3"
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
UNUSED = (
    "usr/bin/perl* usr/lib/*/perl* usr/share/perl* usr/lib/*/libperl* usr/lib/*/gconv usr/share/zoneinfo usr/share/i18n"
    " usr/lib/apt usr/lib/*/libapt* var/lib/dpkg/info var/cache/* usr/lib/python3*/pydoc_data"
)
"""Half of it. Each deploy brings the whole image to each node if there is no registry."""


def base() -> Path:
    """The file system of `BASE`, as a tar file, kept in the user's cache folder.

    Makes it when it is not there, from Debian's packages. That takes half a minute, and the network that the lab lacks.
    Raises CalledProcessError.
    """
    suite = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert suite, "the base image is made from Debian's packages"
    options = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    options.append(f'--customize-hook=cd "$1" && rm -rf {UNUSED}')
    recipe = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *options, suite[1]]
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slot-machine-lab"
    kept = folder / f"base-{digest}.tar"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as new:
            made = Path(new, "base.tar")
            subprocess.run([*recipe, made], check=True)
            made.replace(kept)
    return kept


def program(name: str, tar: Path, also: tuple[str, ...] = ()) -> None:
    """A file system with nothing but `/bin/NAME`, its libraries, and these files of this machine."""
    path = shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    assert path, f"there is no {name}"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for folder in ("bin", "tmp", "etc", "run", "proc", "dev", "sys"):
            (root / folder).mkdir()
        shutil.copy2(Path(path).resolve(), root / "bin" / Path(path).name)
        for file in (*libraries(path), *also):
            target = root / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(file).resolve(), target)
        subprocess.run(["tar", "-C", root, "-cf", tar, "."], check=True)


def libraries(path: str) -> list[str]:
    """None of a program that is linked statically."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", done.stdout)
