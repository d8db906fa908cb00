"""A command whose caller has left."""

import os
import subprocess
import sys

import pytest

WATCHES = "from slot_machine.cli import hangup; hangup.watch(); print('watches', flush=True); input()"


@pytest.mark.parametrize("over_ssh", [True, False])
def test_command_ends_with_the_connection_that_it_came_by(*, over_ssh: bool) -> None:
    env = dict(os.environ) | ({"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"} if over_ssh else {})
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHES], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == b"watches\n"
    process.stdout.close()
    if not over_ssh:
        process.stdin.write(b"\n")
        process.stdin.flush()

    assert process.wait(20) == (1 if over_ssh else 0)
    process.stdin.close()
    process.stderr.close()
