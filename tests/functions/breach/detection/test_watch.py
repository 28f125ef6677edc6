"""The watch: a recorded attack, a month of what is ordinary, what is delivered twice or late, and Redis gone."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis

from astra import tlog
from astra.accounts import honeytokens
from astra.runtime.platform import Platform
from astra.runtime.rate_limits import connect
from astra.staff import Role
from breach import incidents
from breach.detection import correlate
from breach.detection import watch as detection_watch
from breach.detection.audit_log import Detector
from breach.detection.watch import listen, watch
from cli.breach import DEPLOYING
from local.stack.stack import Stack
from local.stand_ins import audit_log
from tests.support.colleagues import Team, logged
from tests.support.moments import at_awkward_moments

THIEF = "thief@example.com"
SERVICES = {
    name: f"{name}-functions@demo-astra.iam.gserviceaccount.com" for name in ("signup", "uploads", "usage", "erasure")
}


def found(platform: Platform[Any]) -> dict[str, dict[str, Any]]:
    """The cases of the project, by what was seen."""
    stored = platform.db.collection(incidents.INCIDENTS).get()
    return {case["detector"]: case for case in (one.to_dict() or {} for one in stored)}


def attack(at: datetime, bait: str) -> list[dict[str, Any]]:
    """What was done with a leaked key of a service account: make another key, look around, take the pictures."""
    uploads = SERVICES["uploads"]
    entries = [audit_log.key_created(at, uploads), audit_log.listed(at + timedelta(seconds=2), uploads, "users")]
    victims = [f"victim-{number}" for number in range(30)] + [bait]
    for number, uid in enumerate(victims):
        when = at + timedelta(seconds=3 + number)
        entries.append(audit_log.read(when, uploads, f"users/{uid}", f"users/{uid}/images/ring-0001"))
        entries.append(audit_log.read(when, uploads, f"keys/{uid}", database="vault"))
        entries.append(audit_log.decrypted(when, uploads))
        entries.append(audit_log.object_read(when, uploads, f"images/{uid}/ring-0001"))
    return entries


def test_a_recorded_attack_is_seen_within_one_batch(platform: Platform[Any], team: Team, stack: Stack) -> None:
    security, customer = team.hire(Role.SECURITY), team.customer()
    bait = honeytokens.new_uid(platform.pseudonyms)
    before = len(stack.mail.messages)
    watch(platform, audit_log.wire(*attack(platform.clock(), bait)))
    cases_seen = found(platform)
    assert set(cases_seen) == {Detector.HONEY, Detector.KEY_CREATED}
    assert {case["severity"] for case in cases_seen.values()} == {1}
    assert {case["state"] for case in cases_seen.values()} == {"suspected"}
    assert len(security.notices()) == 2
    assert customer.notices() == [], "users are told by two people, never by a detector"
    assert len(stack.mail.messages) - before == 2
    assert [entry["action"] for entry in logged(platform, tlog.Action.INCIDENT_OPENED)] == ["breach:incident:open"] * 2
    stored = repr(cases_seen)
    assert bait not in stored
    assert "victim" not in stored
    assert audit_log.ADDRESS not in stored


def test_delivered_twice_and_in_any_order_it_is_one_case(platform: Platform[Any], team: Team) -> None:
    security = team.hire(Role.SECURITY)
    entries = attack(platform.clock(), honeytokens.new_uid(platform.pseudonyms))
    watch(platform, audit_log.wire(*entries))
    once = found(platform)
    for _ in range(3):
        random.Random(7).shuffle(entries)
        for entry in entries:
            watch(platform, audit_log.wire(entry))
    assert found(platform) == once
    assert len(security.notices()) == 2


def test_what_goes_on_over_midnight_goes_on_in_its_case(platform: Platform[Any]) -> None:
    bait, day = honeytokens.new_uid(platform.pseudonyms), timedelta(days=1)
    at = platform.clock()
    names = {
        watch(platform, audit_log.wire(audit_log.read(when, THIEF, f"users/{bait}")))[0] for when in (at, at + day)
    }
    assert len(names) == 1
    name = names.pop()
    platform.db.document(f"incidents/{name}").update({"state": "closed", "closedAt": at + day})
    again = audit_log.wire(audit_log.read(at + 2 * day, THIEF, f"users/{bait}"))
    assert watch(platform, again) != [name]
    reopening = audit_log.wire(audit_log.read(at + timedelta(hours=1), THIEF, f"users/{bait}"))
    watch(platform, reopening)
    assert platform.db.document(f"incidents/{name}").get().get("state") == "closed", "it was before it was closed"


def test_a_person_who_reads_of_many_is_seen_though_each_entry_comes_twice(platform: Platform[Any]) -> None:
    at = platform.clock().replace(minute=5)
    entries = [audit_log.read(at, THIEF, f"users/u{number}") for number in range(20)]
    for _ in range(2):
        assert watch(platform, audit_log.wire(*entries)) == []
    assert watch(platform, audit_log.wire(audit_log.read(at, THIEF, "users/u20")))
    case = found(platform)[Detector.READS]
    assert case["severity"] == 2
    [signal] = case["signals"].values()
    assert (signal["count"], signal["threshold"]) == (21, 20)
    assert case["about"] == platform.pseudonyms.of_principal(THIEF)


def test_who_dumps_a_collection_is_seen_though_it_names_nobody(platform: Platform[Any]) -> None:
    at, uploads = platform.clock().replace(minute=5), SERVICES["uploads"]
    dump = [audit_log.listed(at, uploads, "users", items=300) for _ in range(60)]
    for _ in range(2):
        assert watch(platform, audit_log.wire(*dump)) == []
    dump = [audit_log.listed(at, uploads, "users", items=300) for _ in range(20)]
    assert watch(platform, audit_log.wire(*dump))
    assert set(found(platform)) == {Detector.LISTINGS}


def test_what_becomes_graver_gets_somebody_up_once_more(platform: Platform[Any], team: Team, stack: Stack) -> None:
    security, at = team.hire(Role.SECURITY), platform.clock().replace(minute=5)
    before = len(stack.mail.messages)

    def read(first: int, last: int) -> None:
        for number in range(first, last):  # as Pub/Sub delivers them: each by itself
            watch(platform, audit_log.wire(audit_log.read(at, THIEF, f"users/u{number}")))

    read(0, 60)
    assert found(platform)[Detector.READS]["severity"] == 2
    read(60, 70)
    case = found(platform)[Detector.READS]
    [signal] = case["signals"].values()
    assert (case["severity"], signal["severity"], signal["count"]) == (1, 1, 61)
    assert len(stack.mail.messages) - before == 2
    assert sorted(notice["title"][:10] for notice in security.notices()) == ["Severity 1", "Severity 2"]


def through(people: list[str], at: datetime, who: str, where: str = "users", **more: Any) -> list[dict[str, Any]]:
    """Everybody, read of."""
    pages = (people[first : first + 100] for first in range(0, len(people), 100))
    return [audit_log.read(at, who, *(f"{where}/{uid}" for uid in page), **more) for page in pages]


def ordinary(platform: Platform[Any], start: datetime, days: int) -> None:
    """What the service does in `days` days, hour by hour: people, functions, schedules, support, deployments."""
    dice, deployer = random.Random(11), platform.settings.deployers[0]
    people = [f"person-{number}" for number in range(3000)]
    host = f"{platform.app.project_id}.iam.gserviceaccount.com"
    letters, roll_call = f"campaigns-functions@{host}", f"erasure-functions@{host}"
    for hour in range(24 * days):
        at = start + timedelta(hours=hour)
        evening, weekend = 1 + 2 * (at.hour in range(17, 23)), 1 + (at.weekday() > 4)
        entries = [audit_log.listed(at, SERVICES["erasure"], "users", items=300) for _ in range(10)]
        for uid in dice.sample(people, 12 * evening * weekend):
            entries.append(audit_log.read(at, SERVICES["uploads"], f"users/{uid}", f"users/{uid}/images/ring-0001"))
            entries.append(audit_log.object_read(at, SERVICES["uploads"], f"images/{uid}/ring-0001"))
            entries.append(audit_log.decrypted(at, SERVICES["uploads"]))
            entries.append(audit_log.own(at, "image.opened", actor=platform.pseudonyms.of_uid(uid), bytes=9))
            entries.append(audit_log.sign_in(at, refused=dice.random() < 0.1))
            entries.append(audit_log.listened(at, uid, f"users/{uid}", code=7 if dice.random() < 0.02 else 0))
            entries.append(audit_log.listened(at, uid, query="images"))
        if at.hour == 9 and at.weekday() < 5:  # support looks at the night's tickets
            entries += [audit_log.read(at, "support@example.com", f"users/{uid}") for uid in dice.sample(people, 12)]
        if at.hour == 3:  # sweep, erasures, a backup, a rotation
            swept = [f"users/{uid}/events/e{hour}" for uid in dice.sample(people, 300)]
            entries.append(audit_log.committed(at, SERVICES["erasure"], deletes=swept))
            entries.append(audit_log.own(at, "erasure.requested"))
            backup = "google.firestore.admin.v1.FirestoreAdmin.CreateBackup"
            entries.append(audit_log.activity(at, "", "firestore.googleapis.com", backup))
            entries.append(audit_log.activity(at, "", "cloudkms.googleapis.com", "CreateCryptoKeyVersion"))
            entries += through(people, at, roll_call)
            accounts = "google.cloud.identitytoolkit.v1.AccountManagementService.DownloadAccount"
            entries += [audit_log.activity(at, roll_call, "identitytoolkit.googleapis.com", accounts) for _ in range(3)]
        if at.day % 10 == 0 and at.hour == 12:  # a new policy, by letter
            entries += through(people, at, letters)
        if at.weekday() == 2 and at.hour == 14:
            platform.redis.set(DEPLOYING, 1, ex=60)
            entries.append(audit_log.policy_set(at, deployer))
            entries += through(people, at, deployer, "keys", database="vault")  # wrapped anew
            entries += [audit_log.decrypted(at, deployer) for _ in range(2500)]
        platform.clock.now = at  # type: ignore[attr-defined]
        dice.shuffle(entries)
        watch(platform, audit_log.wire(*entries, *dice.sample(entries, 3)))
        platform.redis.delete(DEPLOYING)


def test_thirty_ordinary_days_call_nobody(platform: Platform[Any]) -> None:
    ordinary(platform, datetime(2028, 2, 1, tzinfo=UTC), days=30)  # to 1 March
    assert found(platform) == {}


@at_awkward_moments
def test_after_two_such_days_an_attack_is_still_seen(platform: Platform[Any], moment: datetime) -> None:
    """At one moment after another, by the same accounts in the same Redis: what they did before adds nothing."""
    ordinary(platform, moment - timedelta(days=2), days=2)
    entries = [audit_log.read(moment, SERVICES["uploads"], f"users/person-{number}") for number in range(600)]
    watch(platform, audit_log.wire(*entries))
    assert set(found(platform)) == {Detector.READS}


def test_without_redis_entries_come_again_and_honey_is_seen_all_the_same(
    platform: Platform[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    working, bait = platform.redis, honeytokens.new_uid(platform.pseudonyms)
    platform.__dict__["redis"] = connect("redis://127.0.0.1:1/0")
    message = audit_log.wire(audit_log.read(platform.clock(), THIEF, f"users/{bait}"))
    with pytest.raises(redis.RedisError):
        watch(platform, message)
    assert set(found(platform)) == {Detector.HONEY}
    assert "watch.down" in capsys.readouterr().out
    listen(platform)
    assert set(found(platform)) == {Detector.HONEY, Detector.WATCH_BLIND}
    platform.__dict__["redis"] = working
    watch(platform, message)
    assert len(found(platform)) == 2


def test_a_silent_audit_log_is_a_signal(platform: Platform[Any]) -> None:
    settings = platform.settings
    listen(platform)
    assert found(platform) == {}, "the emulators write none, and say so by 0"
    platform.__dict__["settings"] = settings.model_copy(update={"silent_minutes": 15})
    watch(platform, audit_log.wire(audit_log.listed(platform.clock(), SERVICES["usage"], "users")))
    platform.clock.step(minutes=14)  # type: ignore[attr-defined]
    listen(platform)
    assert found(platform) == {}
    platform.clock.step(minutes=2)  # type: ignore[attr-defined]
    at = platform.clock()
    watch(platform, audit_log.wire(audit_log.own(at, "staff.denied", actor="f" * 64)))
    watch(platform, audit_log.wire(audit_log.policy_set(at, THIEF, exempting="user:somebody@example.com")))
    assert set(found(platform)) == {Detector.AUDIT_OFF, Detector.CHANGE}
    for _ in range(2):
        listen(platform)
    assert found(platform)[Detector.AUDIT_SILENT]["severity"] == 1


def test_what_cant_be_read_is_let_go_and_its_neighbours_are_not(
    platform: Platform[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    bait = honeytokens.new_uid(platform.pseudonyms)
    [good] = audit_log.wire(audit_log.read(platform.clock(), THIEF, f"users/{bait}"))
    watch(platform, [b"canary@example.com", good])
    assert set(found(platform)) == {Detector.HONEY}
    shown = capsys.readouterr().out
    assert "watch.unreadable" in shown
    assert "canary" not in shown


def test_letters_that_were_held_up_are_sent_once(
    platform: Platform[Any], team: Team, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.hire(Role.CTO)
    bait, before = honeytokens.new_uid(platform.pseudonyms), len(stack.mail.messages)

    def fail(*_: Any) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(correlate.smtp, "send", fail)
        watch(platform, audit_log.wire(audit_log.read(platform.clock(), THIEF, f"users/{bait}")))
    assert len(stack.mail.messages) == before
    for _ in range(2):
        correlate.alert_again(platform)
    assert len(stack.mail.messages) == before + 1


def test_the_deployed_function_hears_what_is_published(stack: Stack) -> None:
    platform: Platform[Any] = Platform(detection_watch.WatchSettings)
    bait = honeytokens.new_uid(platform.pseudonyms)
    import base64  # noqa: PLC0415

    [message] = audit_log.wire(audit_log.read(platform.clock(), f"{bait[:6]}@example.com", f"users/{bait}"))
    url = f"http://127.0.0.1:{stack.ports['pubsub']}/v1/projects/{stack.project}/topics/audit-logs:publish"
    body = {"messages": [{"data": base64.b64encode(message).decode()}]}
    httpx.post(url, json=body, timeout=30).raise_for_status()
    about = platform.pseudonyms.of_principal(f"{bait[:6]}@example.com")
    name = correlate.name_of(platform, Detector.HONEY, about, platform.clock())
    deadline = time.monotonic() + 60
    while not incidents.reference(platform.db, name).get().exists:
        assert time.monotonic() < deadline, "no case was opened"
        time.sleep(0.2)
