"""`python -m slot_machine.handover FD APP`: the keeper, controlled over the listening socket FD. The daemon starts it.

It lives until both the daemon and the last app are gone, because nobody else can answer the apps' system calls.
"""

import asyncio
import signal
import socket
import sys

from slot_machine.handover.control import Control
from slot_machine.handover.rehearsal import rehearse
from slot_machine.host import printing
from slot_machine.host.process import title

FIRST_CONTACT_S = 10.0


async def serve(listener: socket.socket, obstacle: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    control = Control(listener, obstacle, stopped.set)
    loop.call_later(FIRST_CONTACT_S, control.check_idle)
    await stopped.wait()


if __name__ == "__main__":
    printing.guard()
    title.show(sys.argv[2], "keeper")
    printing.log_to_stderr(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), rehearse()))
