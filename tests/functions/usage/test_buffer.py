"""Events that wait in Redis for the others of their minute: each is written once, whatever dies on the way."""

import itertools
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from firebase_functions.https_fn import FunctionsErrorCode, HttpsError
from google.api_core.exceptions import ServiceUnavailable
from google.api_core.gapic_v1.method import _GapicCallable
from redis.client import Pipeline

from astra import erasure
from astra.accounts import tombstones
from astra.datamap.lookup import claimant
from astra.datamap.model import Store
from astra.runtime import rate_limits
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import TooMany
from local.demo.narration import wait_for
from local.stack import commands, readiness
from local.stack.stack import Stack
from tests.functions.usage.users import CHROME, LIMIT, MINUTE, User
from tests.support.people import own_redis
from usage import buffer
from usage.record import _minute

SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.4 Mobile Safari/604.1"


@pytest.fixture
def ada(platform: Platform[Any]) -> User:
    """A user with a Redis database of her own: the stack's timer flushes the first one."""
    own_redis(platform)
    return User(platform)


def test_what_is_done_in_a_minute_is_one_document_besides_the_first_event(ada: User) -> None:
    for seconds in range(8):
        ada.view(seconds)
    assert ada.seconds() == [0]
    assert ada.in_redis() == {"active", "events", "keys", "rate:log_event"}
    ada.flush()
    [first, *others] = sorted(ada.stored(), key=lambda fields: "events" in fields)
    assert first["props"] == {"seconds": 0}
    [fields] = others
    assert [event["props"]["seconds"] for event in fields["events"]] == [1, 2, 3, 4, 5, 6, 7]
    assert all(event["at"] == ada.platform.clock() for event in fields["events"])
    assert (fields["device"], fields["browser"], fields["browserMajor"]) == ("desktop", "Chrome", 124)
    assert fields["expireAt"] == ada.platform.clock() + timedelta(days=90)
    assert set(fields) == set(first) - {"event", "props", "at"} | {"events"}
    ada.flush()
    assert len(ada.stored()) == 2
    assert ada.in_redis() == {"active", "keys", "rate:log_event"}


def test_each_device_has_a_document_and_one_event_is_one_by_itself(ada: User) -> None:
    ada.view(0)
    ada.view(1)
    ada.log(SAFARI, event="page_viewed", props={"seconds": 2})
    ada.view(3)
    ada.flush()
    phone, desktop = sorted(
        (fields for fields in ada.stored() if fields["props" if "props" in fields else "events"] != {"seconds": 0}),
        key=lambda fields: "events" in fields,
    )
    assert (phone["device"], phone["event"], phone["props"]) == ("phone", "page_viewed", {"seconds": 2})
    assert [event["props"]["seconds"] for event in desktop["events"]] == [1, 3]


def test_the_next_minute_begins_with_a_commit(ada: User) -> None:
    ada.view(0)
    ada.view(1)
    ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    ada.view(2)
    assert ada.seconds() == [0, 2]
    ada.view(3)
    ada.flush()
    assert ada.seconds() == [0, 1, 2, 3]


def test_what_has_an_id_or_comes_as_a_batch_is_committed_at_once(ada: User) -> None:
    ada.view(0)
    ada.log(event="page_viewed", props={"seconds": 1}, id="by-client")
    ada.log(events=[{"event": "page_viewed", "props": {"seconds": 2}}])
    assert ada.seconds() == [0, 1, 2]


def test_every_key_ends_by_itself_is_named_in_the_index_and_is_in_the_data_map(ada: User) -> None:
    ada.view(0)
    ada.view(1)
    buffer.take(ada.platform.redis, ada.uid)
    ada.view(2)
    assert ada.in_redis() == {"active", "events", "events:taken", "keys", "rate:log_event"}
    index = rate_limits.index_of(ada.uid)
    named = {str(key) for key in ada.platform.redis.smembers(index)}
    assert {index, *named} == {f"user:{{{ada.uid}}}:{name}" for name in ada.in_redis()}
    left = {key: ada.platform.redis.ttl(key) for key in named}
    assert all(0 < ttl <= ada.platform.redis.ttl(index) + 1 for ttl in left.values()), left
    assert all(claimant(Store.REDIS, key) for key in named)
    ada.flush()  # what was taken
    ada.flush()  # what came since
    assert ada.seconds() == [0, 1, 2]
    assert 0 < ada.platform.redis.ttl(index) <= 60


def test_who_logs_too_much_in_a_minute_is_told_when_to_come_back(ada: User) -> None:
    for seconds in range(LIMIT.most + 1):
        ada.view(seconds)
    with pytest.raises(TooMany) as refusal:
        ada.view(0)
    assert timedelta(0) < refusal.value.retry_after <= MINUTE
    ada.flush()
    assert ada.seconds() == list(range(LIMIT.most + 1))


def test_what_flush_does_not_come_for_is_committed_one_by_one(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer, "_KEEP", buffer._KEEP.replace(f">= {buffer._MAX_USER_EVENTS}", ">= 3"))
    monkeypatch.setattr(buffer, "_CONNECTIONS", buffer._OwnConnections())
    for seconds in range(6):
        ada.view(seconds)
    assert ada.seconds() == [0, 4, 5]


def test_without_redis_every_event_is_committed(ada: User, capsys: pytest.CaptureFixture[str]) -> None:
    ada.platform.__dict__["redis"] = rate_limits.connect("redis://127.0.0.1:9/0")
    ada.view(0)
    ada.view(1)
    assert ada.seconds() == [0, 1]
    assert '"gathering.down"' in capsys.readouterr().out


def test_one_whose_events_can_not_be_written_delays_nobody(
    ada: User, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bob, real = User(ada.platform), tombstones.commit_unless_erased
    for user in (ada, bob):
        user.view(0)
        user.view(1)

    def commit(batch: Any, db: Any, subject: str) -> None:
        if subject == ada.platform.pseudonyms.of_uid(ada.uid):
            raise ServiceUnavailable(ada.uid)
        real(batch, db, subject)

    monkeypatch.setattr(tombstones, "commit_unless_erased", commit)
    ada.flush()
    assert (ada.seconds(), bob.seconds()) == ([0], [0, 1])
    printed = capsys.readouterr().out
    assert '"usage.left"' in printed
    assert ada.uid not in printed
    monkeypatch.undo()
    ada.view(2)
    ada.flush()
    ada.flush()
    assert ada.seconds() == [0, 1, 2]


def test_what_there_is_no_time_for_waits_for_the_next_flush(ada: User, capsys: pytest.CaptureFixture[str]) -> None:
    ada.view(0)
    ada.view(1)
    late = ada.platform.clock
    ada.platform.clock = map(late().__add__, [timedelta(0), *itertools.repeat(2 * MINUTE, 9)]).__next__  # type: ignore[method-assign]
    ada.flush()
    assert '"usage.late"' in capsys.readouterr().out
    ada.platform.clock = late
    assert ada.seconds() == [0]
    ada.flush()
    assert ada.seconds() == [0, 1]


def test_a_worker_that_was_slow_forgets_nothing_that_another_took(ada: User) -> None:
    client, uid = ada.platform.redis, ada.uid
    ada.view(0)
    ada.view(1)
    slow = buffer.take(client, uid)
    ada.flush()
    ada.view(2)
    fast = buffer.take(client, uid)
    assert fast != slow
    buffer.done(client, uid, slow)
    assert buffer.take(client, uid) == fast
    ada.flush()
    assert ada.seconds() == [0, 1, 2]


class Death(BaseException):
    """The process is no more."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], list[str]]]:
    """Let the process die at the n-th moment from now: before or after any request to Redis or Firestore."""
    passed: list[str] = []
    left: list[int | None] = [None]

    def moment(name: str) -> None:
        passed.append(name)
        if left[0] is not None and len(passed) > left[0]:
            raise Death

    doors: list[tuple[Any, str]] = [(redis.Redis, "execute_command"), (Pipeline, "execute")]
    doors += [(buffer._OwnConnections, "evaluate"), (_GapicCallable, "__call__")]
    for owner, name in doors:
        real = getattr(owner, name)

        def door(*args: Any, real: Any = real, **kwargs: Any) -> Any:
            moment("before")
            answer = real(*args, **kwargs)
            moment("after")
            return answer

        monkeypatch.setattr(owner, name, door)

    def die_at(number: int | None) -> list[str]:
        passed.clear()
        left[0] = number
        return passed

    yield die_at
    die_at(None)


def test_whenever_a_flush_dies_every_event_is_written_once(ada: User, dying: Callable[[int | None], list[str]]) -> None:
    done, died = 0, 0
    for number in itertools.count():
        dying(None)
        ada.view(done)
        ada.view(done + 1)
        passed = dying(number)
        try:
            ada.flush()
            ended = True
        except Death:
            ended, died = False, died + 1
        assert passed
        dying(None)
        ada.view(done + 2)  # it comes to what was taken, or before
        done += 3
        ada.flush()
        ada.flush()
        assert ada.seconds() == list(range(done)), f"died at moment {number}"
        if ended:
            break
        ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    assert died >= 8, "a scan, a claim, a commit and an end, before and after each"


def test_whenever_a_request_dies_what_was_answered_is_written(
    ada: User, dying: Callable[[int | None], list[str]]
) -> None:
    answered: set[int] = set()
    sent = 0
    for number in itertools.count():
        endings = []
        for _ in range(2):  # one that is committed, one that is gathered
            dying(number)
            try:
                ada.view(sent)
                answered.add(sent)
                endings.append(True)
            except Death:
                endings.append(False)
            sent += 1
            dying(None)
        ada.flush()
        stored = ada.seconds()
        assert len(stored) == len(set(stored))
        assert answered <= set(stored)
        if all(endings):
            break
        ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    assert sent >= 12


def test_of_who_is_being_erased_nothing_more_is_gathered_and_nothing_gathered_is_written(ada: User) -> None:
    ada.view(0)
    ada.view(1)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    rate_limits.close(ada.platform.redis, ada.uid)
    refusal = ada.refused(event="app_opened")
    assert (refusal.code, refusal.message) == (FunctionsErrorCode.PERMISSION_DENIED, "This account is being deleted.")
    assert ada.in_redis() == {"events", "keys", "rate:log_event"}
    ada.flush()
    assert ada.seconds() == [0]
    assert ada.in_redis() == {"keys", "rate:log_event"}


def test_an_erasure_that_begins_as_an_event_is_committed_closes_what_that_has_opened(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tombstones.commit_unless_erased

    def commit(*args: Any) -> None:
        real(*args)
        erasure.begin(ada.platform, ada.uid, ada.platform.clock())
        rate_limits.close(ada.platform.redis, ada.uid)

    monkeypatch.setattr(tombstones, "commit_unless_erased", commit)
    ada.view(0)
    monkeypatch.undo()
    assert "active" not in ada.in_redis()
    ada.refused(event="app_opened")


@pytest.mark.parametrize("ending", ["refused", "unknown"])
def test_an_instance_that_does_not_know_of_the_erasure_yet_opens_nothing(
    ada: User, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    ada.view(0)  # it remembers her for this minute
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    rate_limits.close(ada.platform.redis, ada.uid)
    real = tombstones.commit_unless_erased

    def commit(*args: Any) -> None:
        # What others of hers ask meanwhile.
        assert not buffer.keep(ada.platform.redis, ada.uid, _minute(ada.uid, ada.platform.clock()), {}, LIMIT)
        if ending == "unknown":
            raise ServiceUnavailable("")
        real(*args)

    monkeypatch.setattr(tombstones, "commit_unless_erased", commit)
    monkeypatch.setattr("usage.record._see_active", lambda *_: None)
    with pytest.raises((HttpsError, ServiceUnavailable)):
        ada.view(1)
    monkeypatch.undo()
    assert not buffer.keep(ada.platform.redis, ada.uid, _minute(ada.uid, ada.platform.clock()), {}, LIMIT)
    ada.flush()
    assert ada.seconds() == [0]


def test_a_connection_that_redis_has_cut_costs_one_commit(ada: User) -> None:
    for seconds in range(3):
        ada.view(seconds)
    assert ada.seconds() == [0]
    for other in ada.platform.redis.client_list():
        if other["id"] != str(ada.platform.redis.client_id()):
            ada.platform.redis.client_kill_filter(_id=other["id"])
    ada.view(3)
    ada.view(4)
    assert ada.seconds() == [0, 3]
    ada.flush()
    assert ada.seconds() == [0, 1, 2, 3, 4]


def test_the_index_outlives_whatever_else_it_names(ada: User) -> None:
    ada.view(0)
    ada.view(1)
    ada.platform.limits.count(ada.uid, "something", 9, timedelta(hours=1))
    ada.flush()
    index, redis_ = rate_limits.index_of(ada.uid), ada.platform.redis
    assert {*redis_.smembers(index)} == {f"user:{{{ada.uid}}}:{name}" for name in ada.in_redis() - {"keys"}}
    assert 3500 < redis_.ttl(f"user:{{{ada.uid}}}:rate:something") <= redis_.ttl(index) + 1 <= 3601


def test_more_devices_than_one_commit_takes_are_written_in_several(
    ada: User, dying: Callable[[int | None], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.record._MAX_DEVICES_OF_ONE_COMMIT", 3)
    for seconds in range(10):
        ada.log(CHROME.replace("124", str(100 + seconds)), event="page_viewed", props={"seconds": seconds})
    passed = dying(None)
    ada.flush()
    commits = len(passed)
    assert ada.seconds() == list(range(10))
    assert len(ada.stored()) == 10
    ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    for seconds in range(10, 20):
        ada.log(CHROME.replace("124", str(100 + seconds)), event="page_viewed", props={"seconds": seconds})
    dying(commits // 2)
    with pytest.raises(Death):
        ada.flush()
    dying(None)
    ada.flush()
    assert ada.seconds() == list(range(20))


def test_nobody_who_is_being_erased_gets_as_far_as_redis(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    monkeypatch.setattr(buffer, "prepare", lambda *_: pytest.fail("a verifier that looks now would find her"))
    assert ada.refused(event="app_opened").message == "This account is being deleted."
    assert ada.in_redis() == set()


def test_an_erasure_that_could_not_reach_redis_ends_the_gathering_within_the_minute(ada: User) -> None:
    ada.view(0)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    ada.view(1)  # answered, and dropped
    ada.flush()
    ada.platform.clock.step(minutes=1)  # type: ignore[attr-defined]
    ada.refused(event="app_opened")
    assert ada.seconds() == [0]


def test_who_was_found_to_be_erased_is_closed_again(ada: User) -> None:
    ada.view(0)
    erasure.begin(ada.platform, ada.uid, ada.platform.clock())
    rate_limits.close(ada.platform.redis, ada.uid)
    ada.profile.update({"state": "active"})  # as an instance remembers it for a minute
    ada.refused(event="app_opened")
    assert "active" not in ada.in_redis()


@pytest.fixture
def lasting_redis(stack: Stack, tmp_path: Path) -> Iterator[Callable[[], redis.Redis]]:
    """Starts a Redis of its own that writes down whatever it is told; started again, the one before is killed."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ours = commands.redis(stack.ports["redis"], SimpleNamespace(path=tmp_path))  # type: ignore[arg-type]
    assert ours
    line = [ours.argv[0], "--port", port, "--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync", "always"]
    servers: list[subprocess.Popen[bytes]] = []

    def start() -> redis.Redis:
        for server in servers:
            server.kill()
            server.wait()
        servers.append(subprocess.Popen(line, stdout=subprocess.DEVNULL))  # noqa: S603
        wait_for("Redis", lambda: readiness.redis_is_up(int(port)) or None)
        return rate_limits.connect(f"redis://127.0.0.1:{port}/0")

    yield start
    servers[-1].kill()
    servers[-1].wait()


def test_redis_that_keeps_a_file_loses_nothing_when_it_is_killed(
    ada: User, lasting_redis: Callable[[], redis.Redis]
) -> None:
    ada.platform.__dict__["redis"] = lasting_redis()
    for seconds in range(20):
        ada.view(seconds)
    assert ada.seconds() == [0]
    ada.platform.__dict__["redis"] = lasting_redis()
    ada.flush()
    assert ada.seconds() == list(range(20))
