import asyncio
import os
from pathlib import Path

import pytest

from slot_machine.host.files import capacity, foldersize
from slot_machine.host.files.capacity import Size


def test_folder_is_measured_without_what_is_linked_from_a_cache(tmp_path: Path) -> None:
    slot, cache = tmp_path / "slot", tmp_path / "cache"
    (slot / "packages").mkdir(parents=True)
    cache.mkdir()
    empty = asyncio.run(capacity.measure(slot, "test"))
    assert empty is not None
    assert empty.inodes == 1
    (slot / "packages" / "own").write_bytes(b"x" * 8192)
    (slot / "link").symlink_to("nowhere")
    (cache / "shared").write_bytes(b"x" * 8192)
    os.link(cache / "shared", slot / "packages" / "shared")

    assert asyncio.run(capacity.measure(slot, "test")) == Size(empty.bytes + 8192, empty.inodes + 2)


def test_folder_that_is_gone(tmp_path: Path) -> None:
    assert asyncio.run(capacity.measure(tmp_path / "slot", "test")) is None


def test_measuring_that_somebody_stopped_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stopped.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    monkeypatch.setattr(foldersize, "__file__", str(tmp_path / "stopped.py"))

    with pytest.raises(OSError, match=r"within 0\.5 s"):
        asyncio.run(capacity.measure(tmp_path, "test", limit_s=0.5))


def test_memory_of_a_process() -> None:
    assert 1_000_000 < capacity.proportional_bytes(os.getpid()) < capacity.available_memory()
    assert capacity.proportional_bytes(2**22) == 0
