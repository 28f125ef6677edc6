"""Messages: a notice's title, text and page, rendered from templates.

`templates/{kind}.txt.j2`: its first line is the title, and the subject of a letter; the rest is the body.
`templates/{kind}.html.j2`: the page of a letter. It loads nothing and asks nobody to sign in.

Facts are plain text, whatever is in them: in the page they are escaped, and none can add a line to a title.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import jinja2

from astra.notices.inbox import Kind, Notice
from astra.runtime import templates


@dataclass(frozen=True)
class Letter:
    """A notice, and the page that a letter shows beside its text."""

    notice: Notice
    html: str

    @property
    def text(self) -> str:
        """The notice as people approve it: title, an empty line, body."""
        return f"{self.notice.title}\n\n{self.notice.body}\n"

    @property
    def sha256(self) -> str:
        """The hash of the text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def render(kind: Kind, facts: Mapping[str, str]) -> Letter:
    """The notice of `kind` about `facts`. Raises ValueError naming a fact that is missing, LookupError if notices of
    that kind have no template."""
    try:
        text = _template(f"{kind.value}.txt.j2").render(facts)
        title, _, body = text.lstrip().partition("\n")
        title = " ".join(title.split())
        page = _template(f"{kind.value}.html.j2").render(facts, title=title)
    except jinja2.UndefinedError as missing:
        raise ValueError(f"facts of {kind.value}: {missing.message}") from None
    except jinja2.TemplateNotFound:
        raise LookupError(f"there is no template of notices of the kind {kind.value}") from None
    return Letter(Notice(kind, title, body.strip()), page)


def text_source(kind: str) -> str:
    """Return the text template of notices of `kind`; empty for a kind that has none."""
    file = resources.files("astra.notices").joinpath(f"templates/{kind}.txt.j2")
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _template(name: str) -> jinja2.Template:
    return templates.environment("astra.notices").get_template(name)
