"""The account id: the one rule for what is one.

Account ids are parts of document paths, object names and Redis keys, so an id leads nowhere else there and can be
written. Only an account whose id passes gets a profile, without which the security rules let nobody in.
"""

import re
from typing import Final

_ACCOUNT_ID: Final = re.compile(r"(?!\.{1,2}$)(?!__.*__$)[^/\s\ud800-\udfff]{1,128}")


def is_account_id(value: str) -> bool:
    """True if `value` can be an account id: as long as Auth allows, and a name that Firestore and Storage take."""
    return _ACCOUNT_ID.fullmatch(value) is not None
