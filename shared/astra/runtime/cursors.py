"""Cursors: where a page of accounts ends, without naming an account.

So a job that goes through everybody can note how far it is, and outlive whoever it has just passed.
"""


def between(first: str, second: str) -> str:
    """The shortest text after `first` up to `second`, which comes later: `second` itself if nothing is between."""
    return next(second[:end] for end in range(1, len(second) + 1) if second[:end] > first)


def cut(uids: list[str], most: int) -> tuple[int, str | None]:
    """How many of these ids, in their order, make a page of `most`, and where the next one begins: None after the last.

    That is a text between two ids which is none; of ids that leave room for none, the next.
    """
    if len(uids) <= most:
        return len(uids), None
    for taken in range(most, 0, -1):
        last, following = uids[taken - 1 : taken + 1]
        if (start := between(last, following)) != following:
            return taken, start
    return most, uids[most]
