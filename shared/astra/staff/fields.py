"""Field types of staff's requests: times, references, texts."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from astra.runtime.account_id import is_account_id


def _account_id(value: str) -> str:
    if not is_account_id(value):
        raise ValueError("is no account id")
    return value


def _text(value: object) -> object:
    # A number would be taken for seconds since 1970.
    if not isinstance(value, str | datetime):
        raise ValueError("must be a time such as 2026-07-31T00:00:00Z")  # noqa: TRY004  (pydantic's own way to say so)
    return value


Uid = Annotated[str, AfterValidator(_account_id)]
"""Whom it concerns."""
Moment = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_text),
    AfterValidator(lambda moment: moment.astimezone(UTC)),
]
"""A time in RFC 3339, with its zone."""
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200, pattern=r"^[^\x00-\x1f]+$")
]
"""A line that names a law, a case or a company: never a person."""
Summary = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=10, max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
"""What people are told of a change, in a few sentences."""
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./_-]{2,79}$")]
"""The file number of a case, a ticket or an agreement."""
EntryNames = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{1,39}$")]],
    Field(max_length=100),
    AfterValidator(lambda names: sorted(set(names))),
]
"""Entries of the data map, in any order."""


def sha256_of(text: str) -> str:
    """What the log keeps of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
