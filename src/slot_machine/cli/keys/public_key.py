"""One public key, as somebody has sent it: only its type and its content count (sshd(8), AUTHORIZED_KEYS)."""

import re
import subprocess
from typing import NamedTuple

from slot_machine.core.errors import ConfigError

LIMIT_S = 10.0
LARGEST = 65_536
KEY = re.compile(
    r"(?P<kind>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r"[ \t]+(?P<content>[A-Za-z0-9+/]+={0,3})(?:[ \t].*)?"
)
QUOTED_OPTIONS = re.compile(r'(?:[^" \t]|"(?:[^"\\]|\\.)*")+[ \t]+')
HINT = "`slot-machine keys add NAME < key.pub`, with a file such as ~/.ssh/id_ed25519.pub"


class PublicKey(NamedTuple):
    kind: str
    content: str

    @property
    def text(self) -> str:
        return f"{self.kind} {self.content}"


def read(text: str) -> PublicKey:
    """Options and comment are left out. Raises ConfigError unless there is exactly one key."""
    if "PRIVATE KEY" in text:
        raise ConfigError("this is a private key, which nobody else should have", HINT)
    lines = [line for line in (line.strip() for line in text.splitlines()) if line and not line.startswith("#")]
    if len(lines) != 1:
        raise ConfigError(f"there are {len(lines)} keys, and one was expected" if lines else "there is no key", HINT)
    found = parse(lines[0])
    if not found:
        raise ConfigError("this is no public key of a kind that is known to be safe", HINT)
    fingerprint(found)
    return found


def parse(line: str) -> PublicKey | None:
    """Of a line of `authorized_keys`, which may begin with options."""
    options = None if KEY.fullmatch(line) else QUOTED_OPTIONS.match(line)
    found = KEY.fullmatch(line[options.end() :] if options else line)
    return PublicKey(found["kind"], found["content"]) if found else None


def fingerprint(key: PublicKey) -> str:
    """As `ssh-keygen -l` prints it. Raises ConfigError for what is no key."""
    try:
        done = subprocess.run(
            ["ssh-keygen", "-l", "-f", "/dev/stdin"],
            input=f"{key.text}\n",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError("ssh-keygen is not installed", "install OpenSSH's client") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"ssh-keygen did not answer within {LIMIT_S:g} s", "try again") from None
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != 1:
        raise ConfigError("ssh-keygen finds no key in it", HINT)
    return lines[0].split()[1]
