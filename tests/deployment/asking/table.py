"""Genuine requests by the name of the function: each entry asks it, and sees its effect in the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.deployment.asking import breach, erasure, governance, notices, retention, signup, tlog, uploads, usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.deployment.world import World

TABLE: Final[dict[str, Callable[[World], None]]] = {
    asked.__name__: asked
    for asked in (
        *(signup.start_signup, signup.before_create, signup.before_sign_in, signup.update_profile),
        *(signup.accept_policy, signup.set_ip_lock, signup.send_code, signup.sendcode, signup.unlock),
        *(usage.log_event, usage.flush),
        *(uploads.seal_upload, uploads.open_image, uploads.recover),
        *(erasure.delete_account, erasure.delete_item, erasure.receipt, erasure.erase, erasure.reconcile),
        retention.sweep,
        *(governance.accept_security_policy, governance.grant_role, governance.revoke_role, governance.sign_review),
        *(governance.place_hold, governance.release_hold, governance.record_disclosure),
        *(governance.register_processor, governance.remove_child, governance.switch_roll_call),
        *(governance.publish_policy, governance.withdraw_policy, governance.policy_page),
        *(governance.plan_transfer, governance.cancel_transfer, governance.review),
        tlog.sequence,
        *(breach.report_incident, breach.confirm_incident, breach.contain_incident, breach.describe_incident),
        *(breach.tell_regulator, breach.delay_notice, breach.approve_notice, breach.notice_page),
        *(breach.rule_out_people, breach.close_incident, breach.watch, breach.tick, breach.assess),
        *(notices.send_campaign, notices.stop_campaign, notices.resume_campaign, notices.preview_campaign),
        *(notices.notify, notices.deliver, notices.see_notice, notices.bounced),
    )
}
