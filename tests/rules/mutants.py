"""Rules, each weaker than ours in one place: what a slip of the hand, or haste, would make of them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_METHODS: Final = ("get", "list", "create", "update", "delete")
_CONDITION: Final = re.compile(r"\ballow [a-z, ]+: if (?P<condition>[^;]+);|\breturn (?P<body>[^;]+);")
_MATCH: Final = re.compile(r"\bmatch (?P<path>/\S+) \{")
_SIGNED_IN: Final = "request.auth != null"


@dataclass(frozen=True)
class Mutant:
    """A text of rules, what was done to it, and below which path."""

    name: str
    text: str
    path: str


def weakened(text: str) -> list[Mutant]:
    """Every mutant of `text`: a condition, or one of its terms, that always holds; a method allowed to whoever is
    signed in; a match that reaches everything below it."""
    code = re.sub(r"//.*", lambda comment: " " * len(comment[0]), text)  # at the same offsets
    return [*_conditions(text, code), *_methods(text, code), *_depths(text, code)]


def _conditions(text: str, code: str) -> Iterator[Mutant]:
    for found in _CONDITION.finditer(code):
        whole = found.span("condition" if found["condition"] else "body")
        for start, end in sorted({whole, *_terms(code, *whole)}):
            name = f"line {_line(text, start)}: {textwrap.shorten(code[start:end], 100, placeholder=' …')}"
            yield Mutant(name, f"{text[:start]}true{text[end:]}", _path(code, start))


def _methods(text: str, code: str) -> Iterator[Mutant]:
    for match in _MATCH.finditer(code):
        for method in _METHODS:
            allow = f"allow {method}: if {_SIGNED_IN};"
            if match["path"].startswith(("/databases", "/b/")):  # reaches nothing by itself
                allow = f"match /{{all=**}} {{ {allow} }}"
            name = f"line {_line(text, match.start())}: {match['path']} {allow}"
            yield Mutant(name, f"{text[: match.end()]} {allow}{text[match.end() :]}", _path(code, match.end()))


def _depths(text: str, code: str) -> Iterator[Mutant]:
    for match in _MATCH.finditer(code):
        if "match" not in code[match.end() : _end(code, match.end())]:
            deeper = f"{match['path'].removesuffix('}')}=**}}"
            name = f"line {_line(text, match.start())}: match {deeper}"
            start, end = match.span("path")
            yield Mutant(name, f"{text[:start]}{deeper}{text[end:]}", _path(code, match.end()))


def _terms(code: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of the terms of an expression, those in brackets included."""
    parts, depth, begin = [], 0, start
    for at in range(start, end):
        depth += (code[at] in "([") - (code[at] in ")]")
        if depth == 0 and code[at : at + 2] in ("&&", "||"):
            parts.append((begin, at))
            begin = at + 2
    parts.append((begin, end))
    for begin, after in parts:
        term = code[begin:after]
        left, right = after - len(term.lstrip()), begin + len(term.rstrip())
        yield left, right
        if code[left] == "(":
            yield from _terms(code, left + 1, right - 1)
        elif len(parts) > 1 and re.search(r"&&|\|\|", code[left:right]):
            raise ValueError(f"a term that is not understood: {code[left:right]}")


def _path(code: str, at: int) -> str:
    """The path of the innermost match around an offset, as in the data map."""
    around = [found["path"] for found in _MATCH.finditer(code) if found.end() <= at < _end(code, found.end())]
    return "".join(around[1:]).removeprefix("/")


def _end(code: str, start: int) -> int:
    """Where the block that begins at `start` ends."""
    depth = 1
    for at in range(start, len(code)):
        depth += (code[at] == "{") - (code[at] == "}")
        if depth == 0:
            return at
    raise ValueError("a block without an end")


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
