"""Templates: one Jinja environment for e-mails, notices, pages and registers.

A package keeps its templates in its folder `templates/`. They may extend `page.html.j2`, which lies beside this module,
and all know `company` and the filter `day`. What is missing is an error, and HTML is escaped.
"""

import functools
from datetime import date, datetime

import jinja2

from astra.runtime.company import COMPANY


@functools.cache
def environment(package: str) -> jinja2.Environment:
    """Return the environment of the templates of `package`."""
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(__package__)]),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
    made.filters["day"] = day
    made.globals["company"] = COMPANY
    return made


def day(moment: date | str | None) -> str:
    """Return a day as people write it: 31 July 2026. None is empty.

    A text in RFC 3339 has its time of day too, unless that is midnight; a text that is no time stays as it is.
    """
    if moment is None:
        return ""
    if isinstance(moment, date):
        return f"{moment.day} {moment:%B %Y}"
    try:
        at = datetime.fromisoformat(str(moment))  # a fact that is missing says so here
    except ValueError:
        return moment
    return f"{at.day} {at:%B %Y}" + (f", {at:%H:%M} UTC" if (at.hour, at.minute) != (0, 0) else "")
