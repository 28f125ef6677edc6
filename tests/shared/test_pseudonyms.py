from hypothesis import given
from hypothesis import strategies as st

from astra.runtime.pseudonyms import Pseudonyms

OURS, THEIRS = Pseudonyms(bytes(32)), Pseudonyms(b"\1" * 32)


@given(st.text(min_size=1))
def test_a_pseudonym_depends_on_key_kind_and_value(value: str) -> None:
    assert OURS.of_uid(value) == OURS.of_uid(value)
    assert OURS.of_uid(value) != THEIRS.of_uid(value)
    assert OURS.of_uid(value) != OURS.of_email(value)
    assert OURS.of_uid(value) != OURS.of_uid(value + "x")


def test_an_address_is_one_whatever_its_case() -> None:
    assert OURS.of_email(" Ada@Example.com ") == OURS.of_email("ada@example.com")
    assert OURS.of_email("é@example.com") == OURS.of_email("e\u0301@example.com")


def test_only_our_own_receipts_are_taken() -> None:
    request = str(OURS.of_uid("u1"))
    receipt = OURS.receipt(request)
    assert OURS.request_of(receipt) == request
    assert THEIRS.request_of(receipt) is None
    for forged in ("", ".", request, receipt[:-1], receipt[:-1] + "x", f"{OURS.of_uid('u2')}.{receipt[65:]}", "é"):
        assert OURS.request_of(forged) is None
