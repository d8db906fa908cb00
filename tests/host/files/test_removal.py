import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slot_machine.host.files.removal import remove, remove_here
from tests.repository import nest

REMOVE = "import asyncio, sys; from pathlib import Path; from slot_machine.host.files.removal import remove;"
REMOVE += "asyncio.run(remove(Path(sys.argv[1]), 'me'))"


def test_whatever_stands_there(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "kept").touch()
    (tmp_path / "link").symlink_to(mine)
    (tmp_path / "-rf").touch()
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(mine)
    nest(tmp_path / "deep", 60)

    nest(tmp_path / "deeper", 1500)
    remove_here(tmp_path / "deeper")
    for name in ("link", "-rf", "folder", "deep", "nothing"):
        asyncio.run(remove(tmp_path / name, "me"))

    assert os.listdir(tmp_path) == ["mine"]
    assert (mine / "kept").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes root to become somebody else")
def test_folders_that_may_not_be_written_to(tmp_path: Path) -> None:
    """Go makes such in its cache of modules. They do not keep out root, so another user removes them."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    (tmp_path / "slot" / "sealed").mkdir(parents=True)
    (tmp_path / "slot" / "sealed" / "file").touch()
    for path in (tmp_path, tmp_path / "slot", tmp_path / "slot" / "sealed"):
        os.chown(path, 65534, 65534)
    (tmp_path / "slot" / "sealed").chmod(0o555)

    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", REMOVE]
    subprocess.run([*argv, str(tmp_path / "slot")], check=True)

    assert not (tmp_path / "slot").exists()


def test_event_loop_turns_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "slot" / "below").mkdir(parents=True)

    async def removed() -> None:
        removal = asyncio.create_task(remove(tmp_path / "slot", "me"))
        await asyncio.sleep(0)
        assert not removal.done()
        await removal

    asyncio.run(removed())

    assert not (tmp_path / "slot").exists()
