"""A fetch is limited by the time without progress, and not by its whole time. These tests wait for the clock."""

from pathlib import Path

import pytest

from slot_machine.core.errors import GitTimedOut
from tests.remotes import Both, failure, ssh


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Both(tmp_path)


def runs(pid: str) -> bool:
    """A zombie does not run."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def test_fetch_without_progress_is_ended_with_all_that_it_started(
    both: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ssh(both, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    error = failure(both, silence_s=1)

    assert isinstance(error, GitTimedOut)
    assert "made no progress for 1 s" in str(error)
    assert not runs((tmp_path / "pid").read_text().strip())


def test_fetch_may_take_longer_than_the_limit_while_it_makes_progress(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.there.commit({"app": "2"})
    serve = f"git-upload-pack {both.there.path}"
    ssh(both, monkeypatch, f"for i in 1 2 3 4 5 6 7 8; do sleep 0.5; echo . >&2; done; exec {serve}")

    assert both.tip(silence_s=3) == both.there.git("rev-parse", "HEAD")
