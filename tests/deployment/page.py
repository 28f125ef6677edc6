"""The commands of `docs/deploy.md`, as a reader would copy them."""

from __future__ import annotations

import re
from typing import Final

from local.paths import ROOT

_TEXT: Final = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
_SECTIONS: Final = dict(re.findall(r"(?ms)^## ([^\n]+)\n(.*?)(?=^## |\Z)", _TEXT))
#: What is typed in where the page reads secrets: one a line.
TYPED: Final = "rediss://redis.example:6380/0\nsmtps://u:p@smtp.example\nr8_token\nkey\nsecret\n"


def commands(section: str) -> str:
    """Return the shell commands of the one section whose heading begins like `section`."""
    [text] = [text for heading, text in _SECTIONS.items() if heading.startswith(section)]
    return "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```", text))


def script(project: str, *sections: str) -> str:
    """Return the commands of `sections` for `project`, with the variables and functions that the page defines."""
    first = commands("1. ").split("\n\n")[0]
    variables = "\n".join(re.findall(r"(?m)^[A-Z]=.+$", first)).replace("P=your-project", f"P={project}")
    functions = "\n".join(re.findall(r"(?m)^\w+\(\) \{.*\}$", _TEXT))
    return "\n".join([variables, functions, *(commands(section).replace(first, "") for section in sections)])
