"""What of this machine counts for a setup."""

import asyncio
import sys
from pathlib import Path

import pytest

from slot_machine.host.process import caches, runtimes


def facts(folder: Path, *programs: str, **env: str) -> dict[str, str]:
    given = {"PATH": str(folder / "bin"), "HOME": str(folder), **env}
    return asyncio.run(runtimes.facts(folder, given, "me", programs))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    return tmp_path


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_runtime_is_asked_for_its_version_and_its_abi(folder: Path) -> None:
    (folder / "sysconfig.py").write_text("raise SystemExit(3)")

    answer = facts(folder, "python3")["python3"]

    assert sys.version.splitlines()[0] in answer
    assert "cpython-" in answer


def test_file_that_chooses_the_runtime_does_not_hide_which_one_runs(folder: Path) -> None:
    program(folder, "node", "/bin/cat version")
    (folder / "version").write_text("v20 115 x64\n")
    before = facts(folder, "node")
    (folder / "version").write_text("v22 127 x64\n")

    assert (before["node"], facts(folder, "node")["node"]) == ("v20 115 x64", "v22 127 x64")


def test_package_manager_is_told_by_its_file_and_its_package(folder: Path) -> None:
    package = folder / "lib/npm"
    (package / "bin").mkdir(parents=True)
    (package / "bin/npm-cli.js").write_text("#!/bin/sh\nexit 3\n")
    (package / "bin/npm-cli.js").chmod(0o755)
    (package / "package.json").write_text('{"version": "10.0.0"}')
    (folder / "bin/npm").symlink_to(package / "bin/npm-cli.js")
    before = facts(folder, "npm")
    (package / "package.json").write_text('{"version": "11.0.0"}')

    assert before["npm"] != facts(folder, "npm")["npm"]


def test_program_that_is_missing_or_fails_or_hangs_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "LIMIT_S", 0.1)
    program(folder, "ruby", "exit 3")
    program(folder, "php", "exec /bin/sleep 600")

    answers = facts(folder, "node", "ruby", "php", "pnpm")

    assert [answers[name] for name in ("node", "ruby", "php", "pnpm")] == ["missing"] * 4


def test_settings_count_and_secrets_are_not_kept(folder: Path) -> None:
    before = facts(folder, NODE_ENV="production", npm_config_token="secret", PORT="80")
    (folder / ".npmrc").write_text("omit=dev")
    after = facts(folder, NODE_ENV="development", npm_config_token="secret", PORT="81")

    assert {name for name in before | after if before.get(name) != after.get(name)} == {"NODE_ENV", "~/.npmrc"}
    assert "secret" not in str(before)
    assert "production" not in str(before)


def test_variables_that_change_what_packages_download_or_compile_count(folder: Path) -> None:
    before = facts(folder, PUPPETEER_SKIP_DOWNLOAD="1", CFLAGS="-O0", CCACHE="1")
    after = facts(folder, PUPPETEER_SKIP_DOWNLOAD="0", CFLAGS="-O2", CCACHE="2")

    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"PUPPETEER_SKIP_DOWNLOAD", "CFLAGS"}


def test_program_may_be_named_by_its_path(folder: Path) -> None:
    path = program(folder, "npm", "exit 3")
    before = facts(folder, str(path))
    program(folder, "npm", "exit 33")

    assert before[str(path)] != facts(folder, str(path))[str(path)]


def test_system_counts(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = facts(folder)["the operating system"]
    release = tmp_path / "os-release"
    release.write_text('ID=other\nVERSION_ID="99"\n')
    monkeypatch.setattr(runtimes, "OS_RELEASE", release)

    assert facts(folder)["the operating system"] != before


def test_downloads_are_kept_in_the_data_folder_where_nobody_chose_another(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "UV_CACHE_DIR": "/mine", "PIP_NO_CACHE_DIR": "1"}

    given = caches.variables(tmp_path, env, tmp_path)

    assert given["npm_config_cache"] == str(tmp_path / "cache/npm")
    assert not {"UV_CACHE_DIR", "PIP_CACHE_DIR"} & given.keys()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert "npm_config_cache" not in caches.variables(tmp_path, {"NPM_CONFIG_CACHE": "/mine"}, tmp_path)


def test_cache_that_npms_settings_name_stays(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("cache = /mine\n")

    assert "npm_config_cache" not in caches.variables(tmp_path, {"HOME": "/"}, tmp_path)
    assert "npm_config_cache" not in caches.variables(tmp_path, {"HOME": str(tmp_path)}, Path("/"))


def test_cache_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    assert caches.variables(tmp_path / "missing", {}, tmp_path) == {}
