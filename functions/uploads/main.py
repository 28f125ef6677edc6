"""Uploads: triggers and options of sealing, serving and recovery."""

from datetime import timedelta

from firebase_functions import https_fn, options, scheduler_fn, storage_fn
from firebase_functions.core import CloudEvent
from flask import Request, Response

from astra.runtime.deployment import Group, defaults
from astra.vault.settings import OpeningSettings, SealingSettings

from uploads import key_rotation, seal, serve

defaults(cpu=1, concurrency=4, max_instances=20)
SEALING = Group("uploads-functions", SealingSettings)
OPENING = Group("uploads-functions", OpeningSettings)
RECOVER_TIMEOUT = 540
# One image at a time: 64 million pixels and their copies fit into 2 GiB once, not twice.
IMAGE = {"memory": options.MemoryOption.GB_2, "concurrency": 1}


@storage_fn.on_object_finalized(**SEALING.options(**IMAGE, timeout_sec=300))
@SEALING.serves
def seal_upload(event: CloudEvent[storage_fn.StorageObjectData]) -> None:
    seal.seal_upload(SEALING.platform, event.data.name, int(event.data.generation), int(event.data.size))


# A Bearer token is no ambient credential, so any page may ask: without the token it gets nothing.
@https_fn.on_request(**OPENING.options(cors=options.CorsOptions(cors_origins="*", cors_methods=["get"])))
@OPENING.serves
def open_image(request: Request) -> Response:
    return serve.open_image(OPENING.platform, request)


@scheduler_fn.on_schedule(
    **SEALING.options(**IMAGE, schedule="every 5 minutes", timeout_sec=RECOVER_TIMEOUT, max_instances=1)
)
@SEALING.serves
def recover(_event: scheduler_fn.ScheduledEvent) -> None:
    half = timedelta(seconds=RECOVER_TIMEOUT * 0.35)
    seal.recover(SEALING.platform, half)
    key_rotation.resume(SEALING.platform, half)
