"""What is written into `authorized_keys`, and what stays."""

import stat
from pathlib import Path

import pytest

from slot_machine.cli.keys.authorized import Keys
from slot_machine.cli.keys.public_key import PublicKey
from slot_machine.core.errors import ConfigError

ADA, BOB = PublicKey("ssh-ed25519", "AAAAada="), PublicKey("ssh-ed25519", "AAAAbob=")
CONFIG = Path("/srv/my shop.git/slot-machine.json")
LINE = (
    "restrict,command=\"/usr/bin/slot-machine key-session --config '/srv/my shop.git/slot-machine.json'"
    " --repo '/srv/my shop.git' ada\" ssh-ed25519 AAAAada= slot-machine:ada\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".ssh" / "authorized_keys"


def keys(file: Path, config: Path = CONFIG) -> Keys:
    return Keys(file, config, Path("/usr/bin/slot-machine"), config.parent)


def test_a_key_gets_a_line_that_allows_little(file: Path) -> None:
    keys(file).add("ada", ADA)

    assert file.read_text() == LINE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [(entry.name, entry.config, entry.key) for entry in keys(file).list()] == [("ada", str(CONFIG), ADA)]


@pytest.mark.parametrize("before", ["# mine\nssh-rsa AAAAmine me", "\n\n", "ssh-rsa AAAAmine me\r\n"])
def test_what_is_there_stays_also_without_a_newline_at_its_end(file: Path, before: str) -> None:
    file.parent.mkdir()
    file.write_bytes(before.encode())
    keys(file).add("ada", ADA)
    assert file.read_bytes().decode() == before + ("" if before.endswith("\n") else "\n") + LINE
    keys(file).remove("ada")
    assert file.read_bytes().decode().rstrip("\n") == before.rstrip("\n")


@pytest.mark.parametrize(
    ("name", "key", "config", "words"),
    [
        ("ada", BOB, CONFIG, "ada has a key already"),
        ("bob", ADA, CONFIG, "this key is there already, of ada for /srv/my shop.git/"),
        ("ada", ADA, Path("/srv/other.git/slot-machine.json"), "this key is there already"),
        ("mine", PublicKey("ssh-rsa", "AAAAmine"), CONFIG, "this key is there already, in line 2"),
        ("-x", BOB, CONFIG, "is no name"),
        ("a b", BOB, CONFIG, "is no name"),
        ("", BOB, CONFIG, "is no name"),
        ("bob", BOB, Path("/srv/a\nb/slot-machine.json"), "can't be told the path"),
    ],
)
def test_doubles_and_odd_names_are_refused(file: Path, name: str, key: PublicKey, config: Path, words: str) -> None:
    keys(file).add("ada", ADA)
    file.write_text(file.read_text() + 'no-pty,command="x" ssh-rsa AAAAmine me\n')
    before = file.read_text()
    with pytest.raises(ConfigError, match=words):
        keys(file, config).add(name, key)
    assert file.read_text() == before


def test_keys_are_those_of_one_app(file: Path) -> None:
    other = Path("/srv/other.git/slot-machine.json")
    keys(file).add("ada", ADA)
    keys(file, other).add("ada", BOB)
    with pytest.raises(ConfigError, match="no key of bob"):
        keys(file).remove("bob")
    keys(file).remove("ada")

    assert keys(file).list() == []
    assert [entry.key for entry in keys(file, other).list()] == [BOB]


def test_a_quote_in_a_path_stays_in_it(file: Path) -> None:
    odd = Path('/srv/"odd" $(x)/slot-machine.json')
    keys(file, odd).add("ada", ADA)

    assert '\\"odd\\"' in file.read_text()
    assert [entry.config for entry in keys(file, odd).list()] == [str(odd)]
