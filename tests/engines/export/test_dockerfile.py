"""The Dockerfile of an export: built from the repository's top, with nothing but what is in its folder."""

import json
import subprocess
from pathlib import Path

import pytest

from slot_machine.core.errors import ConfigError
from slot_machine.engines.export import dockerfile
from slot_machine.engines.source import source

FIELDS = {"name": "shop", "start_command": "node server.js", "env_file": ".env", "engine": {"kind": "swarm"}}


def git(repo: Path, *words: str) -> str:
    argv = ["git", "-C", str(repo), "-c", "user.name=ann", "-c", "user.email=ann@example.com", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "slot-machine.json").write_text(json.dumps(FIELDS))
    (folder / "package.json").write_text('{"name": "shop", "scripts": {"start": "node server.js"}}')
    (folder / ".env").write_text("KEY=secret-word\n")
    return folder


def exported(repo: Path, target: Path) -> dict[str, str]:
    git(repo, "add", "--all", "--", ":!.env")
    git(repo, "commit", "--quiet", "--allow-empty", "--message", "one")
    found = source(repo / "slot-machine.json", repo)
    app = found.app(git(repo, "rev-parse", "HEAD").strip(), found.values()).app
    return dockerfile.files(app, repo, target)


def test_the_files_name_each_other_from_the_top_of_the_repository(repo: Path) -> None:
    files = exported(repo, repo / "deploy" / "image")
    assert sorted(files) == ["Dockerfile", "Dockerfile.dockerignore", "README.md", "shim.sh"]
    assert 'COPY ["deploy/image/shim.sh",' in files["Dockerfile"]
    assert "--file deploy/image/Dockerfile ." in files["README.md"]
    assert files["Dockerfile.dockerignore"].endswith("!deploy/image/shim.sh\n")


def test_the_same_commit_gives_the_same_files_and_no_value(repo: Path) -> None:
    files = exported(repo, repo / "out")
    assert files == exported(repo, repo / "out") | {"Dockerfile": files["Dockerfile"], "README.md": files["README.md"]}
    assert not [name for name, text in files.items() if "secret-word" in text]
    assert ".env\n" in files["Dockerfile.dockerignore"]


def test_nothing_of_a_checkout_stays_in_the_repository(repo: Path) -> None:
    exported(repo, repo / "out")
    assert git(repo, "worktree", "list").count("\n") == 1


def test_a_folder_outside_of_the_repository_is_refused(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in the repository"):
        exported(repo, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["$HOME", "a*", "a\nb"])
def test_a_folder_whose_name_means_something_to_the_builder_is_refused(repo: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="mean something to the builder"):
        exported(repo, repo / name)


def test_commands_name_the_folder_whatever_it_is_called(repo: Path) -> None:
    assert "--file 'my; images/Dockerfile' ." in exported(repo, repo / "my; images")["README.md"]


def test_an_app_with_a_dockerfile_of_its_own_is_refused(repo: Path) -> None:
    (repo / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(ConfigError, match="of its own"):
        exported(repo, repo / "out")
