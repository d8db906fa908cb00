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

CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where a word begins in `removeItem`."""

ACTS = re.compile(
    r"log-?(user-|me-)?o(ut|ff)|sign-?(me-)?o(ut|ff)|logged-?out|end-?session|confirm|verif|subscrib|opt-?(in|out)|delet"
    r"|destroy|activat|revo[ck]|redeem|redempt|reset|token|oauth|callback|webhook|impersonat|passw",
    re.IGNORECASE,
)
"""Such a `GET` may change something, or may be the only one that works."""
WORDS = re.compile(
    r"(?<![a-z])(?:un|re|de|dis)?"
    r"(abort|accept(?:s|ance)?|ack|acknowledge|add|approv(?:e|al)|assign|auth|authorize|ban|become|block|bookmark"
    r"|cancel|cancell?ation|charge|claim|clear|click|collect|complete|create|cron|csrf|decline|decrement|del|deny"
    r"|disable|disconnect|dismiss|download|(?:down|up)?vote|drop|edit|empty|enable|end|erase|exec|execute|exit"
    r"|export|favou?rite|flag|flush|follow|generate|grant|hide|hooks?|import|increment|invit(?:e|ation)s?|job|join"
    r"|kill|leave|like|magic|mark|migrate|mute|new|notify|off|pay|pin|pixel|publish|purge|quit|reboot|rebuild"
    r"|redeploy|redo|refresh|refund|reindex|reject|rejection|reload|remov(?:e|al)|renew|restore|retry|rollback"
    r"|rotate|rsvp|run|saml|save|send|setlang|shutdown|slo|sso|start|stop|submit|switch|sync|terminate|toggle"
    r"|track|tracking|transfer|trigger|truncate|unarchive|undeploy|undo|uninstall|unlink|unlock|unsub|update"
    r"|upgrade|wipe|withdraw)(?![a-z])",
    re.IGNORECASE,
)
"""The same, as whole words. What takes one back, or does it again, changes something as well."""
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
    words = CAPITAL.sub("-", path.replace("_", "-"))
    return bool(
        PLAIN.fullmatch(path)
        and not path.endswith(SHORTENED)
        and not FILES.search(path)
        and not ACTS.search(words)
        and not WORDS.search(words)
        and not any(map(LIKE_A_TOKEN.fullmatch, SEPARATORS.split(path)))
        and not is_digested(path[1:])
    )
