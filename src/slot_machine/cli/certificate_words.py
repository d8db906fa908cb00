"""How far a domain's certificate is, in words. Imports almost nothing, so that `status` is fast."""

from slot_machine.cli.words import until

WORDS = {
    "waiting": "waits",
    "ordering": "its certificate is ordered",
    "failed": "FAILED",
    "valid": "certificate valid",
    "overdue": "CERTIFICATE NOT RENEWED",
}


def told(state: str, expires: str) -> str:
    return f"{WORDS.get(state, state)}{f', ends {until(expires)}' if expires else ''}"
