"""What the owner of a key may ask for over ssh."""

import shlex
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slot_machine.cli.keys import session
from slot_machine.cli.keys.session import VERBS, Session
from slot_machine.core.errors import ConfigError
from slot_machine.host.process import python

REPO = Path("/srv/shop.git")
CONFIG = REPO / "slot-machine.json"
ADA = Session("ada", CONFIG, "shop", REPO)
BEFORE = python.module("slot_machine")


def command(asked: str) -> list[str]:
    return session.command(ADA, asked)


@pytest.mark.parametrize(
    "asked",
    [
        "git-receive-pack '/srv/shop.git'",
        "git receive-pack '/srv/shop.git'",
        "git-receive-pack /srv/shop.git/",
        "git-receive-pack /srv/../srv/shop.git",
    ],
)
def test_a_push_to_the_repository_of_the_app(asked: str) -> None:
    assert command(asked) == ["git", "receive-pack", str(REPO)]


@pytest.mark.parametrize(
    ("asked", "options", "operands"),
    [
        ("slot-machine deploy", ["--by=ada"], []),
        ("deploy v1 --wait -m 'a b'", ["--wait", "--message=a b", "--by=ada"], ["v1"]),
        ("slot-machine -a shop deploy -a shop --message=-x -- v1", ["--message=-x", "--by=ada"], ["v1"]),
        ("slot-machine rollback 12 -q --json", ["--quiet", "--json", "--by=ada"], ["12"]),
        (
            "slot-machine deploy --json --stream --if-known --by=eve --ref=main -- c0ffee",  # As --host asks.
            ["--json", "--stream", "--if-known", "--ref=main", "--by=ada"],
            ["c0ffee"],
        ),
        ("slot-machine rollback --by=eve -- c0ffee", ["--by=ada"], ["c0ffee"]),
        ("slot-machine status --json", ["--json"], []),
        ("slot-machine deploy --by eve", ["--by=ada"], []),
        (
            "/opt/bin/slot-machine -a shop deploy --json --stream --if-known --by=eve --ref=main -- 1a2b",
            ["--json", "--stream", "--if-known", "--ref=main", "--by=ada"],
            ["1a2b"],
        ),
        ("slot-machine logs -f -n 5 --since 10m", ["--follow", "--lines=5", "--since=10m"], []),
    ],
)
def test_a_command_with_its_options(asked: str, options: list[str], operands: list[str]) -> None:
    verb = next(word for word in asked.split() if word in VERBS)

    assert command(asked) == [*BEFORE, verb, "--app", str(CONFIG), *options, "--", *operands]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "   ",
        "bash",
        "sh -c 'slot-machine status'",
        "git-upload-pack '/srv/shop.git'",
        "git-receive-pack",
        "git-receive-pack /srv/other.git",
        "git-receive-pack --help /srv/shop.git",
        "git-receive-pack /srv/shop.git; id",
        "git -c core.pager=id receive-pack /srv/shop.git",
        "git receive-pack --upload-pack=id",
        "slot-machine",
        "slot-machine restart",
        "slot-machine key-session --config x --repo y z",
        "slot-machine start --config /tmp/evil.json",
        "slot-machine status --config /tmp/evil.json",
        "slot-machine deploy --host evil",
        "slot-machine deploy --to production",
        "slot-machine status --by eve",
        "slot-machine deploy --hold",
        "slot-machine deploy --data /tmp",
        "slot-machine deploy --force=x",
        "slot-machine deploy -- --upload-pack=id",
        "slot-machine deploy a b",
        "slot-machine deploy -qm x",
        "slot-machine deploy -m",
        "slot-machine status main",
        "slot-machine -a other status",
        "slot-machine status -a other",
        "slot-machine status --app=other",
        "slot-machine deploy main -a other",
        "deploy $(id)\x00",
        "deploy 'unclosed",
        f"deploy {'x' * 9000}",
    ],
)
def test_nothing_else(asked: str) -> None:
    with pytest.raises(ConfigError) as refused:
        command(asked)
    assert "this key may push" in refused.value.hint or "address" in refused.value.hint or "app" in str(refused.value)


WORDS = "slot-machine git git-receive-pack receive-pack -- -a shop --app --by --config --data -m --message= --message"
PIECES = st.sampled_from(
    [*VERBS, *WORDS.split(), str(REPO), "--json", "-q", "--force", "HEAD", "--wait", "-", "=", "$(id)"]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=8).map(" ".join) | st.text(max_size=40))
@example("deploy --message=--config x")
def test_whatever_is_asked_for_only_what_is_listed_is_run(asked: str) -> None:
    try:
        argv = command(asked)
    except ConfigError:
        return
    if argv[0] == "git":
        assert argv == ["git", "receive-pack", str(REPO)]
        return
    verb, rest = argv[len(BEFORE)], argv[len(BEFORE) + 1 :]
    assert argv[: len(BEFORE)] == BEFORE
    assert rest[:2] == ["--app", str(CONFIG)]
    options, operands = rest[2 : rest.index("--", 2)], rest[rest.index("--", 2) + 1 :]
    known = VERBS[verb]
    names = [option.partition("=")[0] for option in options]
    assert set(names) <= {*known.flags, *known.values, *(["--by"] if known.by else [])}
    assert (names.count("--by"), "--by=ada" in options) == ((1, True) if known.by else (0, False))
    assert len(operands) <= known.operands
    assert not any(operand.startswith("-") for operand in operands)


def test_what_the_client_sets_in_the_environment_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def become(_program: str, _argv: list[str], env: dict[str, str]) -> None:
        seen.append(env)
        raise SystemExit

    monkeypatch.setattr("os.execvpe", become)
    monkeypatch.setattr("os.chdir", lambda _: None)
    for name in ("GIT_CONFIG_COUNT", "PYTHONPATH", "SLOT_MACHINE_BY", "SLOT_MACHINE_APP", "LD_PRELOAD"):
        monkeypatch.setenv(name, "evil")
    with pytest.raises(SystemExit):
        session.run(ADA, shlex.join(["slot-machine", "status"]))

    assert "evil" not in seen[0].values()
    assert seen[0]["SLOT_MACHINE_BY"] == "ada"
