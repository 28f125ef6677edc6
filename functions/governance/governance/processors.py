"""Processors that the policy names, with the hosts that code may call.

This table says what code does; `processors/{name}` in Firestore says under which agreement, as `register_processor`
enters it. What somebody is given is derived from the data map. A test finds every host that code can call, and fails on
one that is in no line here.

    processors/{name}   {name, service, hosts, dataShared, agreement: {reference, expiresAt} or null, registeredAt}

`astra processors add-missing` enters what is missing, without agreements: these are for staff to register.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from google.cloud import firestore

from astra import policies
from astra.datamap.table import DATA_MAP
from astra.runtime.company import COMPANY

PROCESSORS_COLLECTION: Final = "processors"
_NAMED: Final = re.compile(r"we share data with: (?P<names>[^.]+)\.")


@dataclass(frozen=True)
class Processor:
    """One company. `hosts` are patterns: a leading `*.` stands for any name below."""

    name: str
    service: str
    hosts: tuple[str, ...]
    settings: tuple[str, ...] = ()
    """The settings that name one of its hosts."""
    libraries: tuple[str, ...] = ()
    """The client libraries that know its hosts by themselves."""
    also: str = ""
    """What it sees besides the entries of the data map."""

    @property
    def data_shared(self) -> list[str]:
        """The entries of the data map that it receives."""
        return sorted(entry.name for entry in DATA_MAP if self.name in entry.recipients)


PROCESSORS: Final[tuple[Processor, ...]] = (
    Processor(
        name="Firebase",
        service="accounts, documents, objects, functions, queues and keys",
        hosts=("*.googleapis.com", "*.cloudfunctions.net", "*.run.app"),
        settings=("logging_url", "iam_url"),
        libraries=("firebase_admin", "firebase_functions", "google"),
    ),
    Processor(
        name="Vercel",
        service="hosting of the web application, firewall and edge network",
        hosts=("*.vercel.app", "*.vercel.com", COMPANY.domain),
        also="what a browser sends to the web application, in transit; no function here calls it",
    ),
    Processor(
        name="Redis Cloud",
        service="counters that live a minute, and usage events on their way into the database",
        hosts=("*.redis-cloud.com", "*.redislabs.com"),
        settings=("redis_url",),
        libraries=("redis",),
    ),
    Processor(
        name="Replicate",
        service="generation of images",
        hosts=("api.replicate.com", "*.replicate.delivery"),
        settings=("replicate_url",),
    ),
)


@dataclass(frozen=True)
class Elsewhere:
    """A host that code can call and that is no processor's, with the reason."""

    what: str
    why: str
    hosts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


ELSEWHERE: Final[tuple[Elsewhere, ...]] = (
    Elsewhere(
        what="mail server",
        why="the company's own. One that is rented is a processor: it is named in the policy and listed above first",
        settings=("smtp_url",),
        libraries=("smtplib",),
    ),
    Elsewhere(
        what="the application itself",
        why="a letter names its address; no code of ours calls it",
        hosts=(f"www.{COMPANY.domain}",),
        settings=("receipt_url",),
    ),
    Elsewhere(
        what="AWS KMS and the log's witness",
        why="wrapped random keys where ASTRA_KMS_URI asks for it, and hashes: nothing that is anybody's. AWS KMS is "
        "told account ids as context: whoever turns it on names AWS in the policy and lists it above first",
        hosts=("*.amazonaws.com",),
        settings=("kms_uri", "witness_url"),
        libraries=("boto3", "botocore"),
    ),
)


def named_by(text: str) -> list[str]:
    """The processors that a policy's text names. Raises ValueError for a text that names none."""
    found = _NAMED.search(text)
    if found is None:
        raise ValueError("the policy does not say whom data is shared with")
    return re.split(r",\s*|\s+and\s+", found["names"])


def named_in_force(db: firestore.Client, now: datetime) -> list[str]:
    """The processors that the policy in force names."""
    in_force = policies.current(db, now)
    return named_by(db.collection(policies.PUBLIC).document(in_force.version).get(["text"]).get("text"))


def line(processor: Processor, now: datetime) -> dict[str, Any]:
    """What the register says of a processor, but for the agreement."""
    return {
        "name": processor.name,
        "service": processor.service,
        "hosts": list(processor.hosts),
        "dataShared": processor.data_shared,
        "registeredAt": now,
    }
