"""An export's folder: made anew each time, without touching what is not of an export."""

import os
from pathlib import Path

import pytest

from slot_machine.core.errors import ConfigError
from slot_machine.engines.export import files


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_writes_into_a_new_folder_and_makes_it_anew(tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "swarm"
    assert files.write(folder, {"stack.yml": "one\n", "jobs/release.yml": "two\n"}) == []
    assert names(folder) == {"stack.yml", "jobs/release.yml", files.LISTING}

    assert files.write(folder, {"stack.yml": "three\n"}) == ["jobs/release.yml"]
    assert names(folder) == {"stack.yml", files.LISTING}
    assert (folder / "stack.yml").read_text() == "three\n"


def test_leaves_a_file_that_is_as_it_should_be(tmp_path: Path) -> None:
    files.write(tmp_path, {"stack.yml": "one\n"})
    os.utime(tmp_path / "stack.yml", (1, 1))

    files.write(tmp_path, {"stack.yml": "one\n"})

    assert (tmp_path / "stack.yml").stat().st_mtime == 1


def test_keeps_what_somebody_has_put_beside_the_files(tmp_path: Path) -> None:
    files.write(tmp_path, {"stack.yml": "one\n"})
    (tmp_path / "NOTES").write_text("ours")

    files.write(tmp_path, {"other.yml": "one\n"})

    assert names(tmp_path) == {"other.yml", "NOTES", files.LISTING}


def test_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("ours")

    with pytest.raises(ConfigError, match="no export of slot-machine"):
        files.write(tmp_path, {"main.py": "one\n"})

    assert (tmp_path / "main.py").read_text() == "ours"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_listing_can_not_name_files_outside(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("ours")
    folder = tmp_path / "export"
    files.write(folder, {"stack.yml": "one\n"})
    (folder / files.LISTING).write_text(f"{name}\n")

    assert files.write(folder, {"stack.yml": "one\n"}) == []
    assert outside.read_text() == "ours"


def test_replaces_a_link_and_does_not_write_through_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("ours")
    folder = tmp_path / "export"
    files.write(folder, {"stack.yml": "one\n"})
    (folder / "stack.yml").unlink()
    (folder / "stack.yml").symlink_to(target)

    files.write(folder, {"stack.yml": "two\n"})

    assert target.read_text() == "ours"
    assert (folder / "stack.yml").read_text() == "two\n"


def test_says_what_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"no export|cannot"):
        files.write(tmp_path / "file", {"stack.yml": "one\n"})


@pytest.mark.parametrize("listed", ["jobs/authorized_keys", "app.yaml"])
def test_a_link_in_the_folder_leads_to_no_file_outside(tmp_path: Path, listed: str) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "export"
    outside.mkdir()
    (outside / "authorized_keys").write_text("ours")
    folder.mkdir()
    (folder / "jobs").symlink_to(outside)
    (folder / files.LISTING).write_text(f"{listed}\n")

    with pytest.raises(ConfigError, match="jobs is a link"):
        files.write(folder, {"jobs/release.yml": "one\n"} if listed == "app.yaml" else {"stack.yml": "one\n"})

    assert names(outside) == {"authorized_keys"}
    assert not (folder / "stack.yml").exists()


def test_files_with_values_are_for_their_owner_alone(tmp_path: Path) -> None:
    made = {"stack.yml": "one\n", "secret.yaml": "KEY=value\n", "secrets/shop-env-1": "KEY=value\n"}
    files.write(tmp_path, made)
    (tmp_path / "secret.yaml").chmod(0o644)

    files.write(tmp_path, made)

    assert {name for name in made if not (tmp_path / name).stat().st_mode & 0o044} == {*made} - {"stack.yml"}
