import pytest

from astra.erasure.processor_mail import _DOMAINS, processor_of
from governance.processors import PROCESSORS


@pytest.mark.parametrize(
    ("sender", "subject", "processor"),
    [
        ("security@replicate.com", "Notice of a security incident", "Replicate"),
        ("Replicate <no-reply@mail.replicate.com>", "Unauthorised access to predictions", "Replicate"),
        ("no-reply@redis.io", "Data breach notification", "Redis Cloud"),
        ("firebase-noreply@google.com", "[Action Required] Security incident affecting your project", "Firebase"),
        ("security@notreplicate.com", "Security incident", None),
        ("security@replicate.com.evil.example", "Security incident", None),
        ("billing@replicate.com", "Your invoice", None),
        ("friend@example.com", "Security incident", None),
        ("", "breach", None),
    ],
)
def test_a_processors_letter_of_a_breach_is_known_by_its_sender_and_its_subject(
    sender: str, subject: str, processor: str | None
) -> None:
    assert processor_of(sender, subject) == processor


def test_every_processor_can_write_to_us() -> None:
    assert set(_DOMAINS) == {processor.name for processor in PROCESSORS}
