"""Stand-in for Replicate's HTTP API.

It answers over real HTTP in the shapes of Replicate's public API, keeps what that keeps as long as that does, and calls
webhooks as that does. No model runs: a test says what comes out of a prediction, and when. Otherwise than at Replicate,
a webhook may be at an http:// address, only its events `start` and `completed` are sent, and what an input's URL points
at is not fetched.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from local.stand_ins import webhooks
from local.stand_ins.http_server import HttpStandIn, Problem, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.wrappers import Request

K = TypeVar("K")
V = TypeVar("V")

#: How long Replicate keeps a prediction's data after its end, and an uploaded file.
RETENTION, FILE_LIFE = timedelta(hours=1), timedelta(hours=24)
_EVENTS = ("start", "output", "logs", "completed")
_DATA_URL = re.compile(rb'data:[^",]*;base64,((?:[A-Za-z0-9+/=]{4})+)')

_ROUTES = Map(
    [
        Rule("/v1/predictions", methods=["POST"], endpoint="_create"),
        Rule("/v1/models/<owner>/<name>/predictions", methods=["POST"], endpoint="_create"),
        Rule("/v1/deployments/<owner>/<name>/predictions", methods=["POST"], endpoint="_create"),
        Rule("/v1/predictions", methods=["GET"], endpoint="_list_predictions"),
        Rule("/v1/predictions/<prediction_id>", methods=["GET"], endpoint="_show"),
        Rule("/v1/predictions/<prediction_id>/cancel", methods=["POST"], endpoint="_cancel"),
        Rule("/v1/files", methods=["POST"], endpoint="_upload"),
        Rule("/v1/files", methods=["GET"], endpoint="_list_files"),
        Rule("/v1/files/<file_id>", methods=["GET"], endpoint="_show_file"),
        Rule("/v1/files/<file_id>", methods=["DELETE"], endpoint="_delete_file"),
        Rule("/v1/webhooks/default/secret", methods=["GET"], endpoint="_secret"),
        Rule("/delivery/<prediction_id>/<name>", methods=["GET"], endpoint="_download"),
    ]
)


class ReplicateStandIn(HttpStandIn):
    """`with ReplicateStandIn() as replicate:` serves at `replicate.url` to whoever has `replicate.token`."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port, _ROUTES)
        #: What the receiver of a webhook verifies it with.
        self.webhook_secret = webhooks.new_secret()
        #: Seconds after which a prediction finishes by itself, or None: then it runs until `finish`.
        self.auto: float | None = None
        #: Entries on a page of a list.
        self.page_size = 100
        self._predictions: dict[str, dict[str, Any]] = {}
        self._outputs: dict[tuple[str, str], bytes] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._contents: dict[str, bytes] = {}
        self._ahead = timedelta()

    def finish(self, prediction_id: str, *outputs: bytes, error: str | None = None) -> None:
        """End a prediction with these files, else with a picture of noise; or with an error. One that has ended stays.

        Raises KeyError when there is none of that id.
        """
        with self._lock:
            record = self._predictions[prediction_id]
            if error is None:
                self._end(record, "succeeded", outputs or (_noise(),))
            else:
                self._end(record, "failed", error=error)

    def expire(self, duration: timedelta = RETENTION) -> None:
        """Make time pass here: what Replicate would have removed by then is gone."""
        with self._lock:
            self._ahead += duration
            self._remove_expired()

    def holdings(self) -> Iterator[tuple[str, bytes]]:
        """(place, bytes) of everything it still holds; files that an input carries within it are decoded as well."""
        with self._lock:
            self._remove_expired()
            held = [(f"predictions/{name}", _dump(record)) for name, record in self._predictions.items()]
            held += [
                (f"{place} input file {number}", base64.b64decode(encoded))
                for place, content in held
                for number, encoded in enumerate(_DATA_URL.findall(content))
            ]
            held += [("/".join(("delivery", *name)), content) for name, content in self._outputs.items()]
            held += [(f"files/{name}", self._contents[name] + _dump(record)) for name, record in self._files.items()]
        yield from held

    def _respond(self, request: Request) -> Response:
        with self._lock:
            self._remove_expired()
        return super()._respond(request)

    def _create(self, request: Request, owner: str | None = None, name: str = "") -> Response:
        asked = request.get_json()
        _check(asked, versioned=owner is None)
        prediction_id = secrets.token_hex(13)
        here = f"{self.url}/v1/predictions/{prediction_id}"
        model, _, version = asked.get("version", "").rpartition(":")
        record = {
            "id": prediction_id,
            "model": f"{owner}/{name}" if owner else model or "stand-in/model",
            "version": version or "hidden",
            "input": asked["input"],
            "output": None,
            "logs": "",
            "error": None,
            "status": "starting",
            "source": "api",
            "data_removed": False,
            "created_at": self._stamp(),
            "started_at": None,
            "completed_at": None,
            "metrics": {},
            "urls": {"get": here, "cancel": f"{here}/cancel"},
        } | {field: asked[field] for field in ("webhook", "webhook_events_filter") if field in asked}
        self._predictions[prediction_id] = record
        self._notify(record, "start")
        if self.auto is not None:
            threading.Thread(target=self._finish_later, args=(prediction_id, self.auto), daemon=True).start()
        return answer(record, 201)

    def _list_predictions(self, request: Request) -> Response:
        return self._page(request, list(self._predictions.values()))

    def _show(self, _request: Request, prediction_id: str) -> Response:
        return answer(_found(self._predictions, prediction_id))

    def _cancel(self, _request: Request, prediction_id: str) -> Response:
        record = _found(self._predictions, prediction_id)
        self._end(record, "canceled")
        return answer(record)

    def _download(self, _request: Request, prediction_id: str, name: str) -> Response:
        return Response(_found(self._outputs, (prediction_id, name)), content_type="image/png")

    def _upload(self, request: Request) -> Response:
        part = request.files.get("content")
        if part is None:
            raise Problem(422, "Unprocessable Entity", "content: this field is required")
        content, file_id = part.read(), secrets.token_hex(13)
        checksum = hashlib.sha256(content).hexdigest()
        self._contents[file_id] = content
        self._files[file_id] = {
            "id": file_id,
            "name": part.filename or "",
            "content_type": part.mimetype or "application/octet-stream",
            "size": len(content),
            "etag": checksum[:32],
            "checksums": {"sha256": checksum},
            "metadata": json.loads(request.form.get("metadata", "{}")),
            "created_at": self._stamp(),
            "expires_at": self._stamp(FILE_LIFE),
            "urls": {"get": f"{self.url}/v1/files/{file_id}"},
        }
        return answer(self._files[file_id], 201)

    def _list_files(self, request: Request) -> Response:
        return self._page(request, list(self._files.values()))

    def _show_file(self, _request: Request, file_id: str) -> Response:
        return answer(_found(self._files, file_id))

    def _delete_file(self, _request: Request, file_id: str) -> Response:
        _found(self._files, file_id)
        del self._files[file_id], self._contents[file_id]
        return Response(status=204)

    def _secret(self, _request: Request) -> Response:
        return answer({"key": self.webhook_secret})

    def _page(self, request: Request, records: list[dict[str, Any]]) -> Response:
        """The page whose first entry the cursor names, newest first: entries that come later move none of it."""
        newest_first = records[::-1]
        places = {record["id"]: place for place, record in enumerate(newest_first)}
        cursor = request.args.get("cursor")
        first = 0 if cursor is None else _found(places, cursor)

        def link(place: int) -> str:
            return f"{self.url}{request.path}?cursor={newest_first[place]['id']}"

        after = first + self.page_size
        return answer(
            {
                "previous": link(max(0, first - self.page_size)) if first else None,
                "next": link(after) if after < len(newest_first) else None,
                "results": newest_first[first:after],
            }
        )

    def _end(
        self, record: dict[str, Any], status: str, outputs: tuple[bytes, ...] = (), error: str | None = None
    ) -> None:
        if record["completed_at"]:
            return  # finishing and cancelling may meet; the first decides
        names = [(record["id"], f"out-{number}.png") for number in range(len(outputs))]
        self._outputs |= dict(zip(names, outputs, strict=True))
        record["status"], record["error"] = status, error
        record["output"] = [f"{self.url}/delivery/{'/'.join(name)}" for name in names] or None
        record["started_at"], record["completed_at"] = record["created_at"], self._stamp()
        taken = datetime.fromisoformat(record["completed_at"]) - datetime.fromisoformat(record["created_at"])
        record["metrics"] = {"predict_time": taken.total_seconds(), "total_time": taken.total_seconds()}
        self._notify(record, "completed")

    def _finish_later(self, prediction_id: str, delay: float) -> None:
        if not self._closing.wait(delay):
            self.finish(prediction_id)

    def _notify(self, record: dict[str, Any], event: str) -> None:
        # Replicate sends `start` only to those who ask for it.
        if record.get("webhook") and event in record.get("webhook_events_filter", ("completed",)):
            message = (record["webhook"], _dump(record), self.webhook_secret, self._closing)
            threading.Thread(target=webhooks.deliver, args=message, name="webhook", daemon=True).start()

    def _remove_expired(self) -> None:
        now = datetime.now(UTC) + self._ahead
        for record in self._predictions.values():
            ended = record["completed_at"]
            if ended and datetime.fromisoformat(ended) + RETENTION <= now:
                record |= {"input": {}, "output": None, "logs": "", "data_removed": True}
        self._outputs = {
            name: content for name, content in self._outputs.items() if not self._predictions[name[0]]["data_removed"]
        }
        for file_id, file in list(self._files.items()):
            if datetime.fromisoformat(file["expires_at"]) <= now:
                del self._files[file_id], self._contents[file_id]

    def _stamp(self, later: timedelta = timedelta()) -> str:
        moment = datetime.now(UTC) + self._ahead + later
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check(asked: Any, *, versioned: bool) -> None:
    """Raise Problem unless a prediction can be made of what was asked."""
    wrong = []
    if not isinstance(asked, dict):
        wrong.append("the body must be an object")
    else:
        if not isinstance(asked.get("input"), dict):
            wrong.append("input is required, an object")
        if versioned and not isinstance(asked.get("version"), str):
            wrong.append("version is required, a string")
        if not set(asked.get("webhook_events_filter", ())) <= set(_EVENTS):
            wrong.append(f"webhook_events_filter may hold {', '.join(_EVENTS)}")
    if wrong:
        raise Problem(422, "Input validation failed", "".join(f"- {line}\n" for line in wrong))


def _found(things: dict[K, V], key: K) -> V:
    """What is there, or Problem."""
    try:
        return things[key]
    except KeyError:
        raise Problem(404, "Not Found", "The requested resource could not be found.") from None


def _dump(record: dict[str, Any]) -> bytes:
    """JSON in which a search for somebody's name finds it, whatever letters it has."""
    return json.dumps(record, ensure_ascii=False).encode()


def _noise() -> bytes:
    """A picture like no other, so that a search for its bytes finds no other's."""
    sink = io.BytesIO()
    Image.frombytes("RGB", (16, 16), secrets.token_bytes(16 * 16 * 3)).save(sink, "PNG")
    return sink.getvalue()
