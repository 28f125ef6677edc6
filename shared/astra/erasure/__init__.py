"""Erasure requests, legal holds, and what bars a change meanwhile."""

from astra.erasure.request import FIRST, HELD, JOBS, LETTER, TRIES, begin, begin_again, confirm, intend, reference

__all__ = ["FIRST", "HELD", "JOBS", "LETTER", "TRIES", "begin", "begin_again", "confirm", "intend", "reference"]
