"""The secrets that each function needs, and why."""

from __future__ import annotations

#: Names people by keyed pseudonyms: in tombstones, in the log, in Redis.
PSEUDONYMS = "ASTRA_PSEUDONYM_KEY"
#: Counts requests, and holds what lives seconds.
REDIS = "ASTRA_REDIS_URL"
#: What deals with nobody in particular.
WITHOUT_PSEUDONYMS = {"sequence": "gives entries of the log their places: who they are about, they don't say"}
#: What nobody calls, and what needs nothing of what lives seconds.
WITHOUT_REDIS = {
    "seal_upload": "started by Storage",
    "recover": "a schedule over what Storage and the vault hold",
    "reconcile": "a schedule over Firestore, Auth and Storage; the erasures that it begins are done by `erase`",
    "review": "a schedule over Firestore",
    "sequence": "a schedule over the log",
}
#: All others: of each the functions that get it, and why.
OTHERS = {
    "ASTRA_SMTP_URL": {
        "sendcode": "mails codes to sign in with",
        "notify": "mails notices",
        "watch": "mails staff that something was detected",
        "tick": "mails staff what comes due, and what `watch` could not mail",
    },
    "ASTRA_BOUNCE_SECRET": {"bounced": "checks the mail server's signature"},
    "ASTRA_CERTIFICATE_KEY": {"erase": "signs certificates of erasure"},
    "ASTRA_REPLICATE_TOKEN": {"erase": "cancels predictions and deletes files"},
    "ASTRA_LOG_KEY": {"sequence": "signs checkpoints of the log"},
    "ASTRA_WITNESS_KEY_ID": {"sequence": "posts checkpoints to the witness"},
    "ASTRA_WITNESS_SECRET": {"sequence": "posts checkpoints to the witness"},
}


def needed(function: str) -> set[str]:
    """Return the names of the secrets that a function needs."""
    common = {PSEUDONYMS} - ({PSEUDONYMS} if function in WITHOUT_PSEUDONYMS else set())
    common |= {REDIS} - ({REDIS} if function in WITHOUT_REDIS else set())
    return common | {name for name, who in OTHERS.items() if function in who}
