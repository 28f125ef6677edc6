"""A picture of what happened when, for people: SVG within a page, from moments and words alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Final

_ROW: Final = 58
_TOP: Final = 34
_LINE: Final = 172
_WIDTH: Final = 760
_COLOURS: Final = {"harm": "#c0392b", "known": "#d68910", "done": "#2d5bd0", "end": "#1e8449"}


@dataclass(frozen=True)
class Moment:
    """Something that happened. `kind` is harm, known, done or end."""

    at: datetime
    text: str
    kind: str = "done"


def svg(moments: Sequence[Moment]) -> str:
    """The moments from top to bottom in their order, with how long it was from one to the next."""
    ordered = sorted(moments, key=lambda moment: moment.at)
    height = _TOP * 2 + _ROW * max(len(ordered) - 1, 0)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" '
        f'style="max-width:{_WIDTH}px;height:auto" font-family="system-ui, sans-serif" font-size="14">',
        "<title>Timeline</title>",
    ]
    for number, (moment, following) in enumerate(zip(ordered, [*ordered[1:], None], strict=True)):
        y = _TOP + number * _ROW
        colour = _COLOURS[moment.kind]
        if following:
            dash = ' stroke-dasharray="2 6"' if following.at - moment.at > timedelta(days=1) else ""
            line = f'x1="{_LINE}" x2="{_LINE}" y1="{y + 9}" y2="{y + _ROW - 9}"'
            parts.append(f'<line {line} stroke="#8b95a7" stroke-width="2" stroke-linecap="round"{dash}/>')
            between = escape(duration(following.at - moment.at))
            parts.append(f'<text x="{_LINE + 18}" y="{y + 34}" font-size="11" fill="#7b8496">{between}</text>')
        day, hour = f"{moment.at:%-d %b %Y}", f"{moment.at:%H:%M} UTC"
        parts += [
            f'<text x="{_LINE - 22}" y="{y + 1}" text-anchor="end" fill="currentColor">{day}</text>',
            f'<text x="{_LINE - 22}" y="{y + 17}" text-anchor="end" font-size="12" fill="#7b8496">{hour}</text>',
            f'<circle cx="{_LINE}" cy="{y}" r="7" fill="{colour}"/>',
            f'<text x="{_LINE + 18}" y="{y + 5}" fill="currentColor" font-weight="600">{escape(moment.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>"])


def duration(length: timedelta, *, ago: bool = False) -> str:
    """How long, or how long `ago`, in the two largest units that count."""
    minutes = round(length.total_seconds() / 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    shown = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (rest, "min")) if number]
    if not shown:
        return "just now" if ago else "at once"
    return " ".join(shown[:2]) + (" ago" if ago else "")
