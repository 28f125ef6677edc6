"""E-mails in which a processor reports a breach: recognised by sender and subject.

Who takes letters in logs `log.Event.PROCESSOR_MAIL` with the processor's name, and the watch opens a case of it. That
is all it does: a forged one costs somebody a look, and a missed one the first of our 72 hours.
"""

import re
from typing import Final

_DOMAINS: Final = {
    "Firebase": ("google.com", "firebase.com"),
    "Vercel": ("vercel.com",),
    "Redis Cloud": ("redis.com", "redis.io"),
    "Replicate": ("replicate.com",),
}
_WORDS: Final = re.compile(
    r"\b((security|data|privacy)\s+(incident|breach|event|notice|notification)|breach|unauthori[sz]ed\s+access|compromis)",
    re.IGNORECASE,
)


def processor_of(sender: str, subject: str) -> str | None:
    """The processor that a letter from the address `sender` tells us of a breach for; None if it is none of these."""
    domain = sender.strip().rstrip(">").rpartition("@")[2].lower()
    if not _WORDS.search(subject):
        return None
    ours = (name for name, domains in _DOMAINS.items() if any(_is_below(domain, one) for one in domains))
    return next(ours, None)


def _is_below(domain: str, of: str) -> bool:
    return domain == of or domain.endswith(f".{of}")
