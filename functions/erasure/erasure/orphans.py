"""Roll call: finds data whose account is gone or erased, and starts its erasure.

No function learns that an account was deleted in the console or in bulk, that an account's creation broke off, or that
a backup was restored. So a round goes through every place of the data map that names an account, a page at a time:

    data, objects or keys without an account    an orphan: deleted in the console, or never was an account
    anything of somebody who has a tombstone    a backup was restored, or something was written after all

An account without a profile is counted and left alone: Auth knows it, so it is no orphan.

Invariants:
1. Nothing happens unless the roll call is switched on; see `astra.erasure.roll_call`. A dry run writes a report alone.
2. An orphan is denied by both of Auth's views in every round: no listing names it (`list_users`, to the end), and no
   look-up finds it (`get_users`). If the two disagree about anybody, or one look-up with another, the round stops
   before it touches anybody else and calls staff, and every orphan's time begins anew: an Auth that answers wrongly
   must not empty the service.
3. An orphan is denied in one round, and again after `orphan_confirm_hours`: only then is its profile frozen, which can
   be undone. It is erased, and its key destroyed, only after `orphan_frozen_days` more of rounds that deny it. That a
   profile is about to be frozen is noted first: a round that finds its account again, or that runs while the roll call
   is off, gives back whatever may have been frozen.
4. A round that finds more people than the limits allow acts on none of them and calls staff. No number is exempt.
5. A round looks everywhere before it acts anywhere, looks up everybody again before it erases anybody, and each person
   once more before it acts on them. A plan that is a day old is dropped.

Rounds are one job, `rounds/roll-call`: they survive their worker and go on where they were. It knows people by their
pseudonyms alone.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from astra import erasure, jobs
from astra.erasure import roll_call
from astra.erasure.roll_call import Stop
from astra.runtime import log
from astra.runtime.clock import iso
from astra.runtime.documents import fetch
from astra.runtime.platform import Platform

from erasure import freeze, rosters
from erasure.rosters import ACCOUNTS, People
from erasure.settings import RollCallSettings

_RETRY_DELAY: Final = timedelta(minutes=5)
_FREEZE: Final = "freeze"
_ERASE: Final = "erase"
_ERASE_AGAIN: Final = "erase-again"
_GIVE_BACK: Final = "give-back"
_DENIED: Final = frozenset({_FREEZE, _ERASE})
"""What is done only to whom Auth denies."""
_PLAN_AGE: Final = timedelta(days=1)
_MAX_ORPHANS: Final = 1_000
"""Of one round, whatever the settings say: they are kept in one document."""

Changes = dict[str, Any]


class _Stopped(Exception):
    """The round must not go on."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.value)
        self.stop = stop


def call_the_roll(platform: Platform[RollCallSettings], budget: timedelta, ahead: timedelta = timedelta(0)) -> None:
    """Go on with the dry run that staff asked for, then with the round under way, or begin one if it is time.

    `ahead`, in the emulators, lets a drill call the roll as if it were so much later.
    """
    db = platform.db

    def now() -> datetime:
        return platform.clock() + ahead

    worker, until = jobs.Worker(db, now, _RETRY_DELAY), platform.clock() + budget
    dry_run, job = fetch(db, roll_call.dry_run(db), roll_call.job(db))
    if dry_run.exists:
        worker.run(dry_run.reference, _Round(platform, now, dry=True).page, budget)
    is_on, fields = roll_call.is_on(db), job.to_dict() or {}
    if is_on and "phase" not in fields:
        opened = jobs.opened(now(), **roll_call.begun(), suspects={}, stopped=None)
        job.reference.set(opened | {"fence": fields.get("fence", 0) + 1})
    left = until - platform.clock()
    # Switched off, it goes on until it has given back what it froze.
    if left >= timedelta(0) and (is_on or fields.get("suspects")):
        worker.run(job.reference, _Round(platform, now, dry=False).page, left)


class _Round:
    """The pages of a round. A `dry` one looks, writes its report and ends."""

    def __init__(self, platform: Platform[RollCallSettings], now: Callable[[], datetime], *, dry: bool) -> None:
        self._platform = platform
        self._now = now
        self._dry = dry
        self._rosters = list(rosters.rosters())

    def page(self, job: dict[str, Any]) -> Changes | jobs.Pause:
        """One page of one roster."""
        is_on = not self._dry and roll_call.is_on(self._platform.db)
        if not (self._dry or is_on or job["phase"] == "back"):
            return self._all_back(job)
        if job["plannedAt"] and self._now() - job["plannedAt"] > _PLAN_AGE:
            return roll_call.begun()
        roster = self._rosters[job["roster"]]
        sightings, cursor = roster.page(self._platform, job["cursor"])
        people = rosters.look_up(self._platform, sightings)
        changes: Changes = {"cursor": cursor, "beganAt": job["beganAt"] or self._now(), "stopped": None}
        try:
            if job["phase"] == "look":
                changes |= {"here": job["here"] + len(sightings)}
                changes |= self._look(job, roster.place, people, is_on=is_on)
            else:
                changes |= self._act(job, people)
            if cursor is not None:
                return changes
            here = changes.get("here", 0)
            # One account may be in every roster: the longest says how many there are at least.
            changes |= {"roster": job["roster"] + 1, "here": 0, "longest": max(job["longest"], here)}
            if roster.place == ACCOUNTS:
                changes |= {"accounts": here}
            if changes["roster"] == len(self._rosters):
                return self._ended({**job, **changes}, changes)
        except _Stopped as stopped:
            log.write(log.Event.ROLL_CALL_STOPPED, severity=logging.CRITICAL, stopped=stopped.stop)
            # Whatever is frozen stays so until staff let the round begin again; then every orphan's time begins anew.
            anew = {"seenAt": self._now(), "frozenAt": None}
            suspects = {subject: suspect | anew for subject, suspect in job["suspects"].items()}
            return {**roll_call.begun(), **jobs.STOPPED, "stopped": stopped.stop.value, "suspects": suspects}
        return changes

    def _all_back(self, job: dict[str, Any]) -> Changes | jobs.Pause:
        """Begin to give back whatever may be frozen: the roll call was switched off."""
        frozen = {subject: suspect for subject, suspect in job["suspects"].items() if suspect["frozen"]}
        if not frozen:
            return self._rested({})
        plan = dict.fromkeys(frozen, _GIVE_BACK)
        return {**roll_call.begun(), "phase": "back", "plan": plan, "suspects": frozen}

    def _rested(self, suspects: Changes) -> jobs.Pause:
        """The end of a round."""
        rest = timedelta(hours=self._platform.settings.roll_call_hours)
        # By the real time, also after a drill: the next round must not wait until its day.
        return jobs.Pause({**roll_call.begun(), "suspects": suspects, "stopped": None}, self._platform.clock() + rest)

    def _look(self, job: dict[str, Any], place: str, people: People, *, is_on: bool) -> Changes:
        """Note who is an orphan, who came back from a backup, and where Auth contradicts itself."""
        if people.odd:
            # No account's by their names, and no path to delete by: staff must look.
            log.write(log.Event.ODD_NAMES, severity=logging.CRITICAL, count=people.odd)
        seen, restored, is_listed = dict(job["seen"]), set(job["restored"]), place == ACCOUNTS
        # Whoever is being erased, or was, may be denied by one view earlier than by the other.
        ending = people.under_way | people.erased
        denied = people.uids.keys() - people.with_account - ending
        contradictions = len(seen.keys() & (people.uids.keys() if is_listed else people.with_account))
        contradictions += len(denied - seen.keys()) if is_listed else 0
        latest = self._now() - timedelta(hours=self._platform.settings.orphan_grace_hours)
        orphans = set() if is_listed else denied
        again = {}
        for subject in sorted(orphans | (people.erased - people.under_way)):
            if subject not in seen.keys() | restored and people.sightings[subject].since() > latest:
                continue
            if subject in people.waiting:
                again[subject] = _ERASE_AGAIN  # of what a legal hold keeps there is data: they don't count
            elif subject in people.erased:
                restored.add(subject)
            else:
                seen[subject] = sorted({*seen.get(subject, ()), place})
        frozen = {subject for subject, suspect in (job.get("suspects") or {}).items() if suspect["frozen"]}
        back = dict.fromkeys((people.with_account - ending) & frozen, _GIVE_BACK)
        most = self._most() if is_on else _MAX_ORPHANS
        more = max(0, len(seen) - most) + max(0, len(restored) - most)
        if is_on and contradictions:
            raise _Stopped(Stop.CONTRADICTION)
        if is_on and more:
            raise _Stopped(Stop.TOO_MANY)
        return {
            "seen": dict(sorted(seen.items())[:most]),
            "restored": sorted(restored)[:most],
            "plan": job["plan"] | back | again,
            "contradictions": job["contradictions"] + contradictions,
            "odd": job["odd"] + people.odd,
            "withoutProfile": job["withoutProfile"] + self._without_profile(place, people),
            "more": job["more"] + more,
        }

    def _without_profile(self, place: str, people: People) -> int:
        """How many accounts of a page have no profile. A dry run alone says so: nothing follows from it."""
        if not self._dry or place != ACCOUNTS:
            return 0
        db = self._platform.db
        return sum(
            not profile.exists for profile in fetch(db, *(db.document("users", uid) for uid in people.uids.values()))
        )

    def _ended(self, job: dict[str, Any], changes: Changes) -> Changes | jobs.Pause:
        """What follows when the last roster was gone through."""
        if self._dry:
            return self._reported(job)
        suspects: Changes = job["suspects"]
        if job["phase"] == "look":
            plan = self._planned(job)
            suspects = self._suspects(job, plan)
            if plan:
                phase = "confirm" if _ERASE in plan.values() else "act"
                noted = {"plan": plan, "plannedAt": self._now(), "suspects": suspects}
                return {**changes, "phase": phase, "roster": 0, **noted}
        elif job["phase"] == "confirm":
            return {**changes, "phase": "act", "roster": 0}
        else:
            # Everything was gone through: whoever was not met has nothing left to give back.
            back = {subject for subject, what in job["plan"].items() if what == _GIVE_BACK}
            suspects = {subject: suspect for subject, suspect in suspects.items() if subject not in back}
        return self._rested(suspects)

    def _suspects(self, job: dict[str, Any], plan: dict[str, str]) -> Changes:
        """This round's orphans: since when each has been denied without a break, whether its profile may be frozen, and
        since when it is; and whoever gets their profile back, until they have it."""
        before, new = job["suspects"], {"seenAt": self._now(), "frozen": False, "frozenAt": None}
        kept = {subject: before[subject] for subject, what in plan.items() if what == _GIVE_BACK}
        for subject in job["seen"]:
            suspect = before.get(subject, new)
            kept[subject] = {**suspect, "frozen": suspect["frozen"] or plan.get(subject) == _FREEZE}
        return kept

    def _planned(self, job: dict[str, Any]) -> dict[str, str]:
        """What to do with whom, everybody having been looked for everywhere."""
        if not self._is_within_limits(job):
            raise _Stopped(Stop.TOO_MANY)
        plan: dict[str, str] = {**job["plan"], **dict.fromkeys(job["restored"], _ERASE_AGAIN)}
        settings, began = self._platform.settings, job["beganAt"]
        for subject in job["seen"].keys() & job["suspects"].keys():
            suspect = job["suspects"][subject]
            if not suspect["frozenAt"]:
                if began - suspect["seenAt"] >= timedelta(hours=settings.orphan_confirm_hours):
                    plan[subject] = _FREEZE
            elif began - suspect["frozenAt"] >= timedelta(days=settings.orphan_frozen_days):
                plan[subject] = _ERASE
        if found := len(job["seen"]) + len(job["restored"]):
            log.write(log.Event.ORPHANS_FOUND, count=found)
        return plan

    def _most(self) -> int:
        return min(self._platform.settings.most_orphans, _MAX_ORPHANS)

    def _is_within_limits(self, job: dict[str, Any]) -> bool:
        found = len(job["seen"]) + len(job["restored"]) + job["more"]
        return bool(found <= min(self._most(), self._platform.settings.orphans_share * job["longest"]))

    def _act(self, job: dict[str, Any], people: People) -> Changes:
        """Do what is planned with the people whom a page names, or only look whether Auth still denies them.

        Harmless to repeat. Nobody is touched if Auth contradicts itself about anybody.
        """
        phase, suspects = job["phase"], dict(job["suspects"])
        planned = {subject: job["plan"][subject] for subject in people.uids.keys() & job["plan"].keys()}
        denied = {subject for subject, what in planned.items() if what in _DENIED}
        back = {subject for subject, what in planned.items() if what == _GIVE_BACK} - people.under_way
        if denied & people.with_account or (phase != "back" and back - people.with_account):
            raise _Stopped(Stop.CONTRADICTION)
        if phase == "confirm":
            return {}
        for subject in planned.keys() - people.under_way:
            uid, what = people.uids[subject], planned[subject]
            if what == _GIVE_BACK:
                freeze.give_back(self._platform, uid, subject, is_known=subject in people.with_account)
                suspects.pop(subject, None)
            elif (what == _ERASE_AGAIN) != (subject in people.erased):
                continue  # an erasure has begun or ended since: the next round looks at it
            elif what == _FREEZE:
                freeze.freeze(self._platform, uid, subject)
                suspects[subject] = suspects[subject] | {"frozenAt": self._now()}
            else:
                erasure.begin_again(self._platform, uid, self._platform.clock())
        return {"suspects": suspects}

    def _reported(self, job: dict[str, Any]) -> Changes:
        """Store what a dry run has found. Ends the job."""
        db = self._platform.db
        found = {
            "at": iso(self._now()),
            "accounts": job["accounts"],
            "withoutProfile": job["withoutProfile"],
            "orphans": [{"subject": subject, "places": places} for subject, places in sorted(job["seen"].items())],
            "more": job["more"],
            "restored": job["restored"],
            "contradictions": job["contradictions"],
            "oddNames": job["odd"],
            "withinLimits": self._is_within_limits(job),
        }
        roll_call.report(db).set(roll_call.sealed(found))
        return {**roll_call.begun(), "state": roll_call.REPORTED, "nextRunAt": None}
