"""The company's identity, from `company.toml`: the names and addresses that people see."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Company:
    """What `company.toml` says; that file has a comment for each."""

    legal_name: str
    contact: str
    mail_from: str
    domain: str
    receipt_url: str
    log_origin: str

    @property
    def controller(self) -> dict[str, str]:
        """The controller of personal data, as consent receipts name it."""
        return {"name": self.legal_name, "contact": self.contact}


COMPANY: Final = Company(
    **tomllib.loads(Path(__file__).parents[1].joinpath("company.toml").read_text(encoding="utf-8"))
)
