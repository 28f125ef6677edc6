"""The stand-in for Replicate: over HTTP as it is, and through Replicate's own client."""

from __future__ import annotations

import base64
import io
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.pagination import paginate
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local.demo.scan import scan
from local.stand_ins.http_server import Fault, HttpStandIn
from local.stand_ins.replicate import RETENTION, ReplicateStandIn
from local.stand_ins.webhooks import TRIES
from tests.local.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack.stack import Stack

VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
PICTURE = b"\x89PNG a picture, as far as anybody here can tell"


class Receiver(HttpStandIn):
    """Takes webhooks."""

    PUBLIC = "/"

    def __init__(self) -> None:
        super().__init__(0, Map([Rule("/hook", methods=["POST"], endpoint="_take")]))
        self.taken: list[tuple[dict[str, str], bytes]] = []
        #: Of those that were refused too.
        self.ids: list[str] = []

    def _respond(self, request: Request) -> Response:
        self.ids.append(request.headers["webhook-id"])
        return super()._respond(request)

    def _take(self, request: Request) -> Response:
        self.taken.append((dict(request.headers), request.get_data()))
        return Response(status=204)


@pytest.fixture
def replicate() -> Iterator[ReplicateStandIn]:
    with ReplicateStandIn() as running:
        yield running


@pytest.fixture
def http(replicate: ReplicateStandIn) -> Iterator[httpx.Client]:
    """Knows the token."""
    headers = {"Authorization": f"Bearer {replicate.token}"}
    with httpx.Client(base_url=replicate.url, headers=headers, trust_env=False) as http:
        yield http


@pytest.fixture
def client(replicate: ReplicateStandIn) -> Client:
    """Replicate's own."""
    client = Client(api_token=replicate.token, base_url=replicate.url, trust_env=False)
    client.poll_interval = 0.02
    return client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def create(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = http.post("/v1/predictions", json={"version": VERSION, "input": {"prompt": "a horse"}} | changes)
    record: dict[str, Any] = answer.raise_for_status().json()
    return record


def test_a_prediction_starts_runs_and_succeeds(replicate: ReplicateStandIn, http: httpx.Client) -> None:
    answer = http.post("/v1/predictions", json={"version": f"some/model:{VERSION}", "input": {"prompt": "a horse"}})
    assert answer.status_code == 201
    started = answer.json()
    here = f"{replicate.url}/v1/predictions/{started['id']}"
    expected = {
        "model": "some/model",
        "version": VERSION,
        "input": {"prompt": "a horse"},
        "output": None,
        "error": None,
        "status": "starting",
        "source": "api",
        "data_removed": False,
        "completed_at": None,
        "urls": {"get": here, "cancel": f"{here}/cancel"},
    }
    assert {name: started[name] for name in expected} == expected
    assert http.get(here).json() == started

    replicate.finish(started["id"], PICTURE, b"another")
    ended = http.get(here).json()
    assert ended["status"] == "succeeded"
    assert datetime.fromisoformat(ended["completed_at"]) >= datetime.fromisoformat(started["created_at"])
    one, two = (httpx.get(url, trust_env=False) for url in ended["output"])
    assert (one.content, one.headers["content-type"], two.content) == (PICTURE, "image/png", b"another")


def test_replicates_own_client_waits_for_what_finishes_by_itself(replicate: ReplicateStandIn, client: Client) -> None:
    replicate.auto = 0.1
    for made in (
        client.predictions.create(version=VERSION, input={"prompt": "a horse"}),
        client.models.predictions.create("some/model", input={"prompt": "a horse"}),
        client.deployments.predictions.create("some/deployment", input={"prompt": "a horse"}),
    ):
        assert made.status == "starting"
        made.wait()
        assert client.predictions.get(made.id).status == "succeeded"
    [url] = client.run("some/model", input={"prompt": "a horse"})
    assert httpx.get(url, trust_env=False).content.startswith(b"\x89PNG\r\n\x1a\n")


def test_without_auto_a_prediction_runs_on(replicate: ReplicateStandIn, client: Client) -> None:
    made = client.predictions.create(version=VERSION, input={})
    time.sleep(0.3)
    made.reload()
    assert made.status == "starting"
    replicate.finish(made.id, error="out of memory")
    made.wait()
    assert (made.status, made.error, made.output) == ("failed", "out of memory", None)


def test_a_model_that_fails_raises_in_replicates_own_client(replicate: ReplicateStandIn, client: Client) -> None:
    made = client.predictions.create(version=VERSION, input={})
    replicate.finish(made.id, error="out of memory")
    with pytest.raises(ModelError, match="out of memory"):
        list(made.output_iterator())


def test_cancelling_is_final_and_may_be_repeated(replicate: ReplicateStandIn, client: Client) -> None:
    made = client.predictions.create(version=VERSION, input={})
    once, twice = client.predictions.cancel(made.id), client.predictions.cancel(made.id)
    assert (once.status, once.dict()) == ("canceled", twice.dict())
    replicate.finish(made.id, PICTURE)
    made.reload()
    assert (made.status, made.output) == ("canceled", None)
    assert PICTURE not in dict(replicate.holdings()).values()


def test_cancelling_what_has_succeeded_changes_nothing(replicate: ReplicateStandIn, client: Client) -> None:
    made = client.predictions.create(version=VERSION, input={})
    replicate.finish(made.id, PICTURE)
    assert client.predictions.cancel(made.id).status == "succeeded"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/predictions/none"),
        ("POST", "/v1/predictions/none/cancel"),
        ("GET", "/v1/files/none"),
        ("DELETE", "/v1/files/none"),
        ("GET", "/v1/predictions?cursor=none"),
        ("GET", "/delivery/none/out-0.png"),
        ("GET", "/v1/nothing"),
    ],
)
def test_what_is_not_there_is_a_404(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["status"], answer.json()["title"]) == (404, 404, "Not Found")
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"input": {}}, "version is required"),
        ({"version": VERSION}, "input is required"),
        ({"version": VERSION, "input": "text"}, "input is required"),
        ({"version": VERSION, "input": {}, "webhook_events_filter": ["end"]}, "webhook_events_filter may hold"),
        (["a list"], "the body must be an object"),
    ],
)
def test_what_is_asked_wrongly_is_a_422(
    replicate: ReplicateStandIn, http: httpx.Client, body: Any, complaint: str
) -> None:
    answer = http.post("/v1/predictions", json=body)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert complaint in answer.json()["detail"]
    assert not list(replicate.holdings())


def test_a_model_in_the_path_needs_no_version(http: httpx.Client) -> None:
    for kind in ("models", "deployments"):
        answer = http.post(f"/v1/{kind}/some/thing/predictions", json={"input": {}})
        assert (answer.status_code, answer.json()["model"]) == (201, "some/thing")


def test_a_list_goes_on_from_page_to_page(replicate: ReplicateStandIn, http: httpx.Client, client: Client) -> None:
    replicate.page_size = 2
    made = [create(http)["id"] for _ in range(5)]
    pages = paginate(client.predictions.list)
    seen = [[prediction.id for prediction in next(pages)]]
    create(http)  # newer than all of them: moves nothing
    seen += [[prediction.id for prediction in page] for page in pages]
    assert seen == [[made[4], made[3]], [made[2], made[1]], [made[0]]]
    last = http.get("/v1/predictions", params={"cursor": made[0]}).json()
    assert [record["id"] for record in http.get(last["previous"]).json()["results"]] == [made[2], made[1]]
    assert http.get("/v1/predictions").json()["previous"] is None


def test_files_are_kept_until_they_are_deleted(replicate: ReplicateStandIn, client: Client) -> None:
    file = client.files.create(io.BytesIO(PICTURE), filename="horse.png", metadata={"number": 1})
    assert (file.name, file.content_type, file.size) == ("horse.png", "image/png", len(PICTURE))
    assert file.metadata == {"number": 1}
    other = client.files.create(io.BytesIO(b"another"))
    assert [listed.id for listed in client.files.list()] == [other.id, file.id]
    assert client.files.get(file.id) == file
    assert client.files.delete(file.id) is True
    for gone in (client.files.get, client.files.delete):
        with pytest.raises(ReplicateError) as refusal:
            gone(file.id)
        assert refusal.value.status == 404
    assert [listed.id for listed in client.files.list()] == [other.id]


def test_a_file_among_the_inputs_is_uploaded_by_replicates_own_client(
    replicate: ReplicateStandIn, client: Client
) -> None:
    made = client.predictions.create(version=VERSION, input={"image": io.BytesIO(PICTURE)})
    [file] = client.files.list()
    assert made.input == {"image": file.urls["get"]}


def test_a_file_without_content_is_a_422(http: httpx.Client) -> None:
    assert http.post("/v1/files", files={"other": b"x"}).status_code == 422


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "You did not pass an authentication token"),
        ({"Authorization": "Bearer r8_wrong"}, "You did not pass a valid authentication token"),
        ({"Authorization": "Bearer ключ".encode()}, "You did not pass a valid authentication token"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/predictions"),
        ("POST", "/v1/models/some/model/predictions"),
        ("POST", "/v1/deployments/some/deployment/predictions"),
        ("GET", "/v1/predictions"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files"),
        ("GET", "/v1/webhooks/default/secret"),
    ],
)
def test_nobody_gets_in_without_the_token(
    replicate: ReplicateStandIn, headers: Any, detail: str, method: str, path: str
) -> None:
    answer = httpx.request(
        method, f"{replicate.url}{path}", headers=headers, json={"version": VERSION, "input": {}}, trust_env=False
    )
    assert answer.status_code == 401
    assert answer.json() == {"title": "Unauthenticated", "status": 401, "detail": detail}
    assert not list(replicate.holdings())


def test_each_stand_in_has_a_token_and_a_secret_of_its_own() -> None:
    one, two = ReplicateStandIn(), ReplicateStandIn()
    assert one.token != two.token
    assert one.webhook_secret != two.webhook_secret


def test_a_webhook_is_signed_for_who_has_the_secret(
    replicate: ReplicateStandIn, http: httpx.Client, client: Client, receiver: Receiver
) -> None:
    made = create(http, webhook=f"{receiver.url}/hook")
    assert not receiver.taken
    replicate.finish(made["id"], PICTURE)
    eventually(lambda: receiver.taken, "the webhook comes")
    headers, body = receiver.taken[0]
    secret = client.webhooks.default.secret()
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=5)
    other = WebhookSigningSecret(key=ReplicateStandIn().webhook_secret)
    for changed_body, key in ((body.decode() + " ", secret), (body.decode(), other)):
        with pytest.raises(InvalidSignatureError):
            Webhooks.validate(headers=headers, body=changed_body, secret=key)
    assert httpx.Response(200, content=body).json() == http.get(made["urls"]["get"]).json()


def test_a_webhook_that_is_refused_comes_again_under_its_id(
    replicate: ReplicateStandIn, http: httpx.Client, receiver: Receiver
) -> None:
    receiver.faults.append(Fault("/hook", status=503, times=TRIES - 1))
    replicate.finish(create(http, webhook=f"{receiver.url}/hook")["id"])
    eventually(lambda: receiver.taken, "the webhook comes again")
    assert len(receiver.ids) == TRIES
    replicate.finish(create(http, webhook=f"{receiver.url}/hook")["id"])
    eventually(lambda: len(receiver.taken) == 2, "the next comes")
    assert len(set(receiver.ids[:TRIES])) == 1
    assert len(set(receiver.ids)) == 2


def test_a_webhook_is_given_up_in_the_end(replicate: ReplicateStandIn, http: httpx.Client, receiver: Receiver) -> None:
    receiver.faults.append(Fault("/hook", status=500, times=100))
    replicate.finish(create(http, webhook=f"{receiver.url}/hook")["id"])
    eventually(lambda: receiver.calls["POST /hook"] == TRIES, "it is tried")
    time.sleep(1.5)
    assert receiver.calls["POST /hook"] == TRIES
    assert not receiver.taken


@pytest.mark.parametrize(
    ("events", "statuses"),
    [
        (["start"], ["starting"]),
        (["completed"], ["canceled"]),
        (["start", "completed"], ["starting", "canceled"]),
        (["logs"], []),
        (None, ["canceled"]),
    ],
)
def test_only_the_events_that_were_asked_for_are_sent(
    http: httpx.Client, receiver: Receiver, events: list[str] | None, statuses: list[str]
) -> None:
    chosen = {} if events is None else {"webhook_events_filter": events}
    made = create(http, webhook=f"{receiver.url}/hook", **chosen)
    if "starting" in statuses:
        eventually(lambda: receiver.taken, "the first comes")
    http.post(made["urls"]["cancel"]).raise_for_status()
    eventually(lambda: len(receiver.taken) >= len(statuses), "all come")
    time.sleep(0.2)
    assert [httpx.Response(200, content=body).json()["status"] for _, body in receiver.taken] == statuses


def test_data_goes_an_hour_after_the_end(replicate: ReplicateStandIn, http: httpx.Client) -> None:
    ended, running = (create(http, input={"prompt": "Ада"}) for _ in range(2))
    replicate.finish(ended["id"], PICTURE)
    [picture] = http.get(ended["urls"]["get"]).json()["output"]

    replicate.expire(RETENTION - timedelta(seconds=30))
    assert http.get(ended["urls"]["get"]).json()["data_removed"] is False
    assert http.get(picture).content == PICTURE

    replicate.expire(timedelta(seconds=30))
    gone = http.get(ended["urls"]["get"]).json()
    assert (gone["data_removed"], gone["input"], gone["output"]) == (True, {}, None)
    assert gone["status"] == "succeeded"
    assert http.get(picture).status_code == 404
    still = http.get(running["urls"]["get"]).json()
    assert (still["data_removed"], still["input"]) == (False, {"prompt": "Ада"})


def test_files_go_after_a_day(replicate: ReplicateStandIn, client: Client) -> None:
    client.files.create(io.BytesIO(PICTURE))
    replicate.expire()
    assert len(client.files.list()) == 1
    replicate.expire(timedelta(hours=23))
    assert client.files.list() == []
    assert not list(replicate.holdings())


def test_what_it_holds_is_all_there_to_be_searched(replicate: ReplicateStandIn, client: Client) -> None:
    carried, uploaded, came_out = (f"a picture {number}".encode() for number in range(3))
    data_url = f"data:image/png;base64,{base64.b64encode(carried).decode()}"
    made = client.predictions.create(version=VERSION, input={"image": data_url, "prompt": "Ada Lovelacé"})
    replicate.finish(made.id, came_out)
    file = client.files.create(io.BytesIO(uploaded), filename="lovelace.png")

    def found(needle: bytes) -> list[str]:
        return [place for place, content in replicate.holdings() if needle in content]

    assert found(carried) == [f"predictions/{made.id} input file 0"]
    assert found("Ada Lovelacé".encode()) == [f"predictions/{made.id}"]
    assert found(came_out) == [f"delivery/{made.id}/out-0.png"]
    assert found(uploaded) == found(b"lovelace.png") == [f"files/{file.id}"]

    replicate.expire()
    client.files.delete(file.id)
    assert [place for needle in (carried, uploaded, came_out, b"Ada") for place in found(needle)] == []


def test_a_throttled_client_is_told_when_to_come_back(replicate: ReplicateStandIn, http: httpx.Client) -> None:
    replicate.faults.append(Fault("/v1/predictions", status=429, retry_after=7, times=2))
    assert http.get("/v1/files").status_code == 200
    for _ in range(2):
        answer = http.post("/v1/predictions", json={"version": VERSION, "input": {}})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert answer.json()["status"] == 429
    assert not list(replicate.holdings()), "nothing was done"
    create(http)
    assert replicate.calls == {"GET /v1/files": 1, "POST /v1/predictions": 3}


def test_replicates_own_client_comes_back(replicate: ReplicateStandIn, client: Client) -> None:
    replicate.faults.append(Fault("/v1/files", status=429, retry_after=0))
    assert client.files.list() == []
    assert replicate.calls["GET /v1/files"] == 2
    replicate.faults.append(Fault("/v1/files", status=500))
    with pytest.raises(ReplicateError) as refusal:
        client.files.list()
    assert (refusal.value.status, refusal.value.title) == (500, "Internal Server Error")


def test_an_answer_that_is_lost_leaves_what_was_done(replicate: ReplicateStandIn, http: httpx.Client) -> None:
    replicate.faults.append(Fault("/v1/predictions", hang=30))
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/predictions", json={"version": VERSION, "input": {}}, timeout=0.5)
    eventually(lambda: http.get("/v1/predictions").json()["results"], "the prediction is made")
    [made] = http.get("/v1/predictions").json()["results"]
    assert made["status"] == "starting"


def test_a_refusal_may_take_its_time(replicate: ReplicateStandIn, http: httpx.Client) -> None:
    replicate.faults.append(Fault("/v1/files", status=500, hang=0.5))
    began = time.monotonic()
    assert http.get("/v1/files").status_code == 500
    assert time.monotonic() - began >= 0.5


def test_it_can_stop_and_start_again_where_it_was(replicate: ReplicateStandIn, http: httpx.Client) -> None:
    made = create(http)
    replicate.stop()
    with pytest.raises(httpx.ConnectError):
        http.get("/v1/predictions")
    replicate.start()
    assert [record["id"] for record in http.get("/v1/predictions").json()["results"]] == [made["id"]]
    port = int(replicate.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), ReplicateStandIn(port):
        pytest.fail("it started")


def test_a_stack_says_where_it_is_and_what_opens_it(servers: Stack) -> None:
    environment = servers.environment()
    client = Client(
        api_token=environment["ASTRA_REPLICATE_TOKEN"], base_url=environment["ASTRA_REPLICATE_URL"], trust_env=False
    )
    made = client.predictions.create(version=VERSION, input={})
    assert made.id in [place.rpartition("/")[2] for place, _ in servers.replicate.holdings()]


def test_the_scan_of_every_store_looks_in_it(servers: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.environment().items():
        monkeypatch.setenv(name, value)
    client = Client(api_token=servers.replicate.token, base_url=servers.replicate.url, trust_env=False)
    made = client.predictions.create(version=VERSION, input={"prompt": "a horse named Canary-83f1"})
    needles = {"canary": b"Canary-83f1"}
    assert [(finding.store, finding.place) for finding in scan(servers, needles)] == [
        ("replicate", f"predictions/{made.id}")
    ]
    made.cancel()
    servers.replicate.expire()
    assert scan(servers, needles) == []
