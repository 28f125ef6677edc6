import pytest
from flask import Flask

from astra.runtime import http


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        (" 192.0.2.7 ", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("::FFFF:c000:0207", "192.0.2.0/24"),
        ("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"),
        ("2001:0DB8:0001:02aa:0000::", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("", None),
        ("192.0.2", None),
        ("192.0.2.7, 192.0.2.8", None),
        ("localhost", None),
    ],
)
def test_an_address_is_its_network(address: str, masked: str | None) -> None:
    assert http.masked(address) == masked


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        (None, "127.0.0.0/24"),
        ("192.0.2.7", "192.0.2.0/24"),
        ("203.0.113.9, 192.0.2.7", "192.0.2.0/24"),  # the first is what the client says of itself
        ("192.0.2.7,2001:db8::1", "2001:db8::/56"),
        ("192.0.2.7, unknown", None),
    ],
)
def test_only_what_the_front_end_appended_is_believed(forwarded: str | None, found: str | None) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    environment = {"REMOTE_ADDR": "127.0.0.1"}
    with Flask("test").test_request_context("/", headers=headers, environ_base=environment) as context:
        assert http.of(context.request) == found


def test_a_header_sent_twice_is_one_list() -> None:
    headers = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "192.0.2.7")]
    with Flask("test").test_request_context("/", headers=headers) as context:
        assert http.of(context.request) == "192.0.2.0/24"
