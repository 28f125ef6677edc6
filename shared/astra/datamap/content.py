"""The data map's entries for content: images, prompts, usage events, and the keys that open them."""

from datetime import timedelta
from typing import Final

from astra.datamap.constructors import below_profile, image_object, wrapped_key
from astra.datamap.model import CONTRACT, INTEREST, Entry, Store

FILES: Final[tuple[Entry, ...]] = (
    Entry(
        name="replicate-artefacts",
        store=Store.REPLICATE,
        where="{uid}/{item}",
        category="prompts and images while Replicate computes, and the files given to it",
        purpose="generate images",
        lawful_basis=CONTRACT,
        retention="until the image is made; Replicate drops the rest within the hour",
        export=False,
        export_note="what comes of it is exported",
        recipients=("Replicate",),
        residual="replicate",
        opened_by=("predictions",),
    ),
    image_object(
        name="uploads",
        where="incoming/{uid}/{item}",
        category="images as uploaded",
        purpose="hand an image over to be sealed",
        retention="seconds: until sealed or rejected; removed by the sweep if both failed",
        export=False,
        export_note="the sealed image is exported",
        lives=timedelta(days=2),
        passing=True,
        owner_may=("create",),
    ),
    image_object(
        name="sealed-images",
        where="images/{uid}/{item}",
        category="images, encrypted under the user's key",
        purpose="show a user their images",
        export=True,
        export_note="decrypted",
        opened_by=("object-keys", "user-key"),
    ),
    image_object(
        name="sealed-thumbnails",
        where="thumbs/{uid}/{item}",
        category="small versions of images, encrypted under the user's key",
        purpose="show a user their images",
        export=False,
        export_note="made from the image, which is exported",
        opened_by=("object-keys", "user-key"),
    ),
)
"""What is no document: copies at Replicate first."""

DOCUMENTS: Final[tuple[Entry, ...]] = (
    below_profile(
        name="image-records",
        where="users/{uid}/images/{item}",
        category="size, type and state of images",
        purpose="list a user's images",
        lawful_basis=CONTRACT,
        retention="while the account is active; at its own end, if it has one, removed by the sweep with its image",
        may_expire=True,
        item="image",
        owner_may=("get", "list"),
    ),
    below_profile(
        name="prompts",
        where="users/{uid}/prompts/{item}",
        category="what a user asked to have drawn, encrypted under their key",
        purpose="generate images, and show what was asked",
        lawful_basis=CONTRACT,
        export_note="decrypted",
        recipients=("Firebase", "Replicate"),
        item="prompt",
        opened_by=("object-keys", "user-key"),
        owner_may=("get", "list"),
    ),
    below_profile(
        name="predictions",
        where="users/{uid}/predictions/{item}",
        category="under which names Replicate has what was given to it",
        purpose="have it deleted there",
        lawful_basis=CONTRACT,
        export=False,
        export_note="names that mean nothing elsewhere",
    ),
    below_profile(
        name="events",
        where="users/{uid}/events/{item}",
        category="what was done in the application, with which kind of device and which version of a browser",
        purpose="improve the service",
        lawful_basis=INTEREST,
        retention="90 days from when it happened; then removed by the hourly sweep, and until then in lists only",
        item="event",
        lives=timedelta(days=90),
        since=("at", "events.at"),
        owner_may=("get", "list"),
    ),
)
"""Below a profile."""

KEYS: Final[tuple[Entry, ...]] = (
    wrapped_key(
        name="object-keys",
        where="keys/{uid}/objects/{item}",
        category="wrapped keys of images",
        item="image",
    ),
    wrapped_key(
        name="user-key",
        where="keys/{uid}",
        category="wrapped key of a user",
    ),
    wrapped_key(
        name="rotations",
        where="rotations/{subject}",
        category="progress of replacing a user's key",
        export_note="nothing about the person but that it was done",
    ),
)
"""In the vault, which opens all of the above."""
