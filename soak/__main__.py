"""Usage: python -m soak PATH_OF_SLOT_MACHINE [MINUTES] [SEED]. Prints a report.

The exit code is 1 if there was a problem. Then the folder of the run is kept, with the logs of every daemon. As root
and with an even seed, the app runs as another user and attacks its daemon.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from spec.orchestrator import Orchestrator
from tests.another_user import AnothersSite
from tests.users import CAN_BE_ANOTHER, NUMBERED
from tests.world import Site

from soak import account, cron, journal, trouble
from soak.load import Load
from soak.sequence import Sequence


def main(binary: str, minutes: float, seed: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="slot-machine-soak-"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir()
    os.environ["TMPDIR"] = str(folder / "tmp")
    print(f"seed {seed}, {minutes:g} minutes, in {folder}", flush=True)
    orchestrator = Orchestrator(Path(binary))
    is_anothers = CAN_BE_ANOTHER and seed % 2 == 0
    site = AnothersSite(folder, NUMBERED, int(NUMBERED), orchestrator) if is_anothers else Site(orchestrator, folder)
    with trouble.small_disk(site):
        failed = soak(site, minutes, seed)
    if not failed:
        shutil.rmtree(folder)
    return failed


def soak(site: Site, minutes: float, seed: int) -> int:
    trouble.write_env_file(site)
    journal.begin(site)
    load = Load(site.port, seed)
    began_s = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic():10.1f} s  {what}", flush=True)

    sequence = Sequence(site, load, random.Random(seed), say)
    samples = account.Samples(site)
    try:
        sequence.begin()
        since = cron.now()
        samples.idle()
        with load.running():
            while time.monotonic() - began_s < minutes * 60:
                known = len(sequence.problems)
                sequence.step()
                for problem in sequence.problems[known:]:
                    say(f"PROBLEM {problem}")
                samples.loaded()
        samples.idle()
        until = cron.now()
    finally:
        code = site.daemons[-1].stop() if site.daemons else 1
    return account.give(site, account.Soak(seed, minutes, load, sequence, samples, since, until, code))


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM):
        # A background job of a shell ignores SIGINT by default, but the daemon must be stopped.
        signal.signal(signum, signal.default_int_handler)
    _, path, *rest = sys.argv
    sys.exit(
        main(os.path.abspath(path), float(rest[0]) if rest else 5, int(rest[1]) if rest[1:] else time.time_ns() % 10**6)
    )
