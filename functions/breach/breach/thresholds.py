"""Thresholds of the rate detectors, with the reason for each."""

from typing import Final

from pydantic import BaseModel, ConfigDict

DEPLOYING: Final = "watch:deploying"
"""The key in Redis that is there while a deployment is announced."""


class Thresholds(BaseModel):
    """From how much on a detector calls. Each says why ordinary days stay below; `factor` times what one and the same
    principal did in its busiest ordinary hours is ordinary too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: int = 5
    """Days are alike: hour for hour no function's work grew fivefold within two weeks without a launch."""
    service_reads: int = 500
    """Different people that a service account reads of in an hour before it has any past."""
    thorough_reads: int = 20_000
    """The same of our own accounts whose work goes through all people: the roll call, e-mails of a campaign. With more
    people than that, it is to be raised."""
    staff_reads: int = 20
    """Different people that a person reads of in an hour: support looks at one ticket at a time."""
    service_listings: int = 20_000
    """Documents that a service account is answered in an hour, by listings and queries, before it has any past: as
    many as a sweep or a campaign goes through. With more people than that, it is to be raised."""
    staff_listings: int = 1000
    """Documents that a person is answered in an hour, by listings and queries: a screen shows some dozens at a time."""
    decrypts: int = 2000
    """Uses of the key service in an hour: user keys are kept unwrapped for a minute, so that a user costs few."""
    exports: int = 25
    """Exports of people's data in an hour: each of them asked for it, and may once a day."""
    deletions: int = 2000
    """Documents, objects or accounts that one principal deletes in an hour."""
    denials: int = 20
    """Refusals to one caller in an hour: our clients ask for nothing that is another's."""
    refused_sign_ins: int = 300
    """Refused sign-ins in an hour, of all."""
    images_opened: int = 2000
    """Images that one person opens in an hour: a gallery shows some dozens, small, at a time."""
