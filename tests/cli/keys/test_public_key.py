"""What may be sent as a public key."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.cli.keys import public_key
from slot_machine.core.errors import ConfigError

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVnDRXKEFVNVTbdq1f7GLAtmZNR1WpMYHONvkhjTuGG"


@pytest.fixture(scope="module", params=["ed25519", "ecdsa"])
def sent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("key")
    argv = ["ssh-keygen", "-q", "-t", request.param, "-N", "", "-C", "ada@laptop", "-f", str(folder / "key")]
    subprocess.run(argv, check=True)
    return (folder / "key.pub").read_text()


def test_a_key_is_read_without_its_comment(sent: str) -> None:
    key = public_key.read(sent)

    assert key.text == " ".join(sent.split()[:2])
    assert public_key.fingerprint(key).startswith("SHA256:")


@pytest.mark.parametrize(
    "options", ['command="rm -rf /"', 'restrict,command="echo \\"ssh-ed25519 AAAA\\""', "no-pty,cert-authority"]
)
def test_options_are_left_out(options: str) -> None:
    assert public_key.read(f"{options} {ED25519} ada").text == ED25519


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no key"),
        ("# only a remark\n", "there is no key"),
        (f"{ED25519} a\n{ED25519} b\n", "there are 2 keys"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n", "private key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAM", "no public key of a kind"),
        ("ssh-ed25519 AAAA", "ssh-keygen finds no key"),
        (f'command="x\n{ED25519}', "there are 2 keys"),
        (f"a b {ED25519}", "no public key"),
        ("hello", "no public key"),
    ],
)
def test_all_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        public_key.read(text)


@given(st.text(alphabet='abc "\\=,\n\t#', max_size=40))
def test_what_is_read_is_one_plain_key(before: str) -> None:
    found = public_key.parse(f"{before} {ED25519}")
    assert found is None or found.text == ED25519
