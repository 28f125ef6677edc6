import pytest

from astra.runtime.account_id import is_account_id


@pytest.mark.parametrize(
    "uid", ["u7Wq2mJc0nPzT4kYbX1rVhLs8aE3", "ada.lovelace", "oauth:4711", "...", "__ada", "x" * 128]
)
def test_what_every_path_can_take_is_an_account_id(uid: str) -> None:
    assert is_account_id(uid)


@pytest.mark.parametrize("uid", ["", ".", "..", "__ada__", "a/b", "a b", "ada\n", "\ud800", "x" * 129])
def test_what_leads_elsewhere_or_can_not_be_written_is_none(uid: str) -> None:
    assert not is_account_id(uid)
