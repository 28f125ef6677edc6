"""Uploads: an image is encrypted for its owner as soon as it has arrived, and opened for nobody else."""

from datetime import timedelta

from firebase_functions import https_fn, options, scheduler_fn, storage_fn
from firebase_functions.core import CloudEvent
from flask import Request, Response

from astra import callables, rotation
from astra.platform import Platform
from astra.settings import SealingSettings

import opening
import sealing

PLATFORM = Platform.at_start(SealingSettings)
REGION = options.SupportedRegion.US_CENTRAL1
ACCOUNT = "uploads-functions@"
RECOVER_TIMEOUT = 540
SECRETS = ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"]


# One image at a time: 64 million pixels and their copies fit into 2 GiB once, not twice.
@storage_fn.on_object_finalized(
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    memory=options.MemoryOption.GB_2,
    concurrency=1,
    timeout_sec=300,
)
@callables.guarded
def seal_upload(event: CloudEvent[storage_fn.StorageObjectData]) -> None:
    sealing.seal_upload(PLATFORM, event.data.name, int(event.data.generation), int(event.data.size))


# A Bearer token is no ambient credential, so any page may ask: without the token it gets nothing.
@https_fn.on_request(
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    cors=options.CorsOptions(cors_origins="*", cors_methods=["get"]),
)
def open_image(request: Request) -> Response:
    return opening.open_image(PLATFORM, request)


@scheduler_fn.on_schedule(
    schedule="every 5 minutes",
    region=REGION,
    secrets=SECRETS,
    service_account=ACCOUNT,
    memory=options.MemoryOption.GB_2,
    timeout_sec=RECOVER_TIMEOUT,
)
@callables.guarded
def recover(_event: scheduler_fn.ScheduledEvent) -> None:
    half = timedelta(seconds=RECOVER_TIMEOUT * 0.35)
    sealing.recover(PLATFORM, half)
    rotation.resume(PLATFORM, half)
