"""Which of the paths that visitors ask for may be asked for without a visitor."""

import re
from collections.abc import Mapping

from slot_machine.core.digested import is_digested

MOST_PATHS = 20
LEAST_VISITS = 5
"""In the last hour: a link that works only once was asked for less often before somebody uses it."""

PLAIN = re.compile(r"/|(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?")
"""Without what `proxy.paths` puts in place of an id, of other characters, or of the end of a long path."""
SHORTENED = "..."
LIKE_A_TOKEN = re.compile(r"[0-9a-f]{7,}|[A-Za-z0-9]{20,}")
"""The whole part of a path between two separators: a digest without a number in it, or random letters."""
SEPARATORS = re.compile(r"[/._~-]")

ACTS = re.compile(
    r"log-?o(ut|ff)|sign-?o(ut|ff)|confirm|verif|subscrib|opt-?out|delet|destroy|activat|revoke|redeem|reset|token"
    r"|oauth|callback|webhook|impersonat|password",
    re.IGNORECASE,
)
"""Such a `GET` may change something, or may be the only one that works."""
WORDS = re.compile(
    r"(?<![a-z])(accept|add|approve|auth|cancel|claim|clear|click|create|cron|decline|disable|download|edit|enable|export"
    r"|flush|hooks?|invite|job|magic|new|pay|pixel|purge|reject|remove|run|save|send|start|stop|switch|toggle|track"
    r"|trigger|update|vote)(?![a-z])",
    re.IGNORECASE,
)
"""The same, as whole words."""
FILES = re.compile(
    r"\.(avif|css|eot|gif|gz|ico|jpe?g|js|map|mjs|mp3|mp4|otf|pdf|png|svg|ttf|wasm|webm|webp|woff2?|zip)$",
    re.IGNORECASE,
)
"""They would take the places of pages, and no code of the app makes them."""


def choose(visits: Mapping[str, int]) -> tuple[str, ...]:
    """The safe ones with the most visits, by the number of visits that each path had."""
    safe = [path for path, number in visits.items() if number >= LEAST_VISITS and is_safe(path)]
    return tuple(sorted(safe, key=lambda path: (-visits[path], path))[:MOST_PATHS])


def is_safe(path: str) -> bool:
    return bool(
        PLAIN.fullmatch(path)
        and not path.endswith(SHORTENED)
        and not FILES.search(path)
        and not ACTS.search(path.replace("_", "-"))
        and not WORDS.search(path)
        and not any(map(LIKE_A_TOKEN.fullmatch, SEPARATORS.split(path)))
        and not is_digested(path[1:])
    )
