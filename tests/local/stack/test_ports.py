"""The ports of a stack."""

from local.stack import ports
from local.stack.stack import EMULATORS


def test_an_offset_that_leads_to_a_port_that_is_never_fetched_from_is_refused() -> None:
    """With 2,000 the rules of Storage would see no document: Firestore would answer at 10080."""
    refused = ports.first_busy({"firestore": ports.needed(EMULATORS, 2000)["firestore"]})
    assert refused is not None
    assert refused.startswith("port 10080 (firestore) can't be used")
