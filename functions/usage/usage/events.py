"""The events that may be logged: a closed list without free text.

To add an event, add its class, and that to `Event`. Every property is optional, and is a truth value, a whole number
between bounds, or one word of a list: there is no place to put a name, an address or a prompt.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import ConfigDict, Discriminator, Field, RootModel, StringConstraints, Tag, field_validator

from astra.runtime.callables import Shape

# What begins with an underscore may be a name of Firestore's own.
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{7,63}$")]
Moment = Annotated[int, Field(ge=0, le=253_402_300_799_999)]
"""Milliseconds since 1970, as a browser's clock gives them."""
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Megabytes = Annotated[int, Field(ge=0, le=50)]


class Props(Shape):
    """What an event has besides its name: nothing."""


class PageProps(Props):
    """Which page, and for how long."""

    page: Literal["home", "gallery", "image", "studio", "settings", "policy", "help"] | None = None
    seconds: Seconds | None = None


class UploadProps(Props):
    """How large, and whether the camera took it just now."""

    megabytes: Megabytes | None = None
    camera: bool | None = None


class GenerationProps(Props):
    """How long it took, and whether it began with an image."""

    seconds: Seconds | None = None
    fromImage: bool | None = None


class OpeningProps(Props):
    """In which size."""

    size: Literal["full", "thumb"] | None = None


class SettingProps(Props):
    """Which setting, and what it is now, if it is one that is on or off."""

    setting: Literal["ipLock", "electronicNotices", "name", "jurisdiction"] | None = None
    on: bool | None = None


class ErrorProps(Props):
    """Which of the standard errors."""

    code: (
        Literal[
            "invalid-argument",
            "unauthenticated",
            "permission-denied",
            "failed-precondition",
            "not-found",
            "already-exists",
            "resource-exhausted",
            "unavailable",
            "internal",
        ]
        | None
    ) = None


class _Event(Shape):
    """`id` is the client's name for a request, so that one that it repeats counts once. `at` is when it happened."""

    event: str
    props: Props = Props()
    at: Moment | None = None
    id: Id | None = None


class AppOpened(_Event):
    event: Literal["app_opened"]


class PageViewed(_Event):
    event: Literal["page_viewed"]
    props: PageProps = PageProps()


class ImageUploaded(_Event):
    event: Literal["image_uploaded"]
    props: UploadProps = UploadProps()


class ImageGenerated(_Event):
    event: Literal["image_generated"]
    props: GenerationProps = GenerationProps()


class ImageOpened(_Event):
    event: Literal["image_opened"]
    props: OpeningProps = OpeningProps()


class ImageDownloaded(_Event):
    event: Literal["image_downloaded"]


class ImageDeleted(_Event):
    event: Literal["image_deleted"]


class SettingChanged(_Event):
    event: Literal["setting_changed"]
    props: SettingProps = SettingProps()


class ErrorShown(_Event):
    event: Literal["error_shown"]
    props: ErrorProps = ErrorProps()


_OneOfThem = (
    Annotated[AppOpened, Tag("app_opened")]
    | Annotated[PageViewed, Tag("page_viewed")]
    | Annotated[ImageUploaded, Tag("image_uploaded")]
    | Annotated[ImageGenerated, Tag("image_generated")]
    | Annotated[ImageOpened, Tag("image_opened")]
    | Annotated[ImageDownloaded, Tag("image_downloaded")]
    | Annotated[ImageDeleted, Tag("image_deleted")]
    | Annotated[SettingChanged, Tag("setting_changed")]
    | Annotated[ErrorShown, Tag("error_shown")]
)
NAMES: Final = tuple(get_args(kind)[1].tag for kind in get_args(_OneOfThem))


def _told_by(form: Callable[[dict[str, Any]], Any]) -> Discriminator:
    def tag(value: Any) -> str | None:
        found = form(value) if isinstance(value, dict) else getattr(value, "event", None)
        return found if isinstance(found, str) else None

    # A message of our own: pydantic's repeats the name that was sent.
    message = f"event must be one of {', '.join(NAMES)}"
    return Discriminator(tag, custom_error_type="event", custom_error_message=message)


Event: TypeAlias = Annotated[_OneOfThem, _told_by(lambda value: value.get("event"))]


class Batch(Shape):
    """Several events at once: one document, and one write to pay for."""

    events: Annotated[list[Event], Field(min_length=1, max_length=100)]
    id: Id | None = None

    @field_validator("events")
    @classmethod
    def _without_ids(cls, events: list[Event]) -> list[Event]:
        if any(event.id for event in events):
            raise ValueError("the request has an id, and none of its events")
        return events


class LogEvent(
    RootModel[
        Annotated[
            Annotated[Batch, Tag("batch")] | _OneOfThem,
            _told_by(lambda value: "batch" if "events" in value else value.get("event")),
        ]
    ]
):
    """`{event, props?, at?, id?}`, or `{events: [{event, props?, at?}, …], id?}`."""

    model_config = ConfigDict(defer_build=True)  # as every `Shape`
