"""The public page of a breach notice, as two people approved it.

It stays what they approved, whatever has been deployed since.
"""

import re
from typing import Any, Final

from flask import Request, Response

from astra.runtime import log
from astra.runtime.headers import HARDENED
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import Limit, TooMany
from astra.runtime.settings import RedisSettings

from breach import incidents

_ID: Final = re.compile(r"[0-9a-f]{20}")
_NETWORK_LIMIT: Final = Limit(120)
_HEADERS: Final = {
    **HARDENED,
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


def notice_page(platform: Platform[RedisSettings], request: Request) -> Response:
    """GET `?id=`: the page, with the hash that was approved; 404 for what was not."""
    try:
        response = _answer(platform, request)
    except Exception as error:  # noqa: BLE001  (the boundary of the function: no message may get out)
        log.failure(log.Event.FAILED, error)
        response = Response("Something failed on our side. Try again later.", 500)
    response.headers.update(_HEADERS)
    return response


def _answer(platform: Platform[RedisSettings], request: Request) -> Response:
    if request.method not in ("GET", "HEAD"):
        return Response("Use GET.", 405, {"Allow": "GET, HEAD"})
    try:
        platform.limits.admit_network(request, "notice_page", _NETWORK_LIMIT)
    except TooMany as many:
        return Response(str(many), 429, many.headers)
    name = request.args.get("id", "")
    incident: dict[str, Any] = {}
    if _ID.fullmatch(name):
        incident = incidents.reference(platform.db, name).get().to_dict() or {}
    approved = incident.get("notice")
    if not approved:
        return Response("There is no such notice.", 404)
    page = Response(approved["html"], mimetype="text/html")
    page.set_etag(approved["sha256"])
    return page
