import base64

import pytest

from astra.tlog.signed_note import BadNote, Checkpoint, Signer, Verifier, checkpoint_of, signed_by

# The example of Go's own implementation, which the specification was written after.
NEUMANN = Verifier.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
QUOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
SIGNER = Signer.of("example.com/log", bytes(range(32)))
CHECKPOINT = Checkpoint("example.com/log", 20852163, bytes(32))
NOTE = SIGNER.sign(str(CHECKPOINT))
LONGEST = 64 * 1024
ROOT = base64.b64encode(bytes(32)).decode()


def test_the_reference_note_is_good() -> None:
    assert signed_by(QUOTE, [SIGNER.verifier, NEUMANN]) == NEUMANN
    assert str(NEUMANN).startswith("PeterNeumann+c74f20a3+")


def test_a_checkpoint_says_what_was_signed() -> None:
    assert signed_by(NOTE, [NEUMANN, SIGNER.verifier]) == SIGNER.verifier
    assert checkpoint_of(NOTE) == CHECKPOINT
    assert SIGNER.sign(str(CHECKPOINT)) == NOTE, "signed again it is the same"


def signature_alone(text: str) -> str:
    """Return the line that signs `text`, without the text."""
    return SIGNER.sign(text).rpartition("\n\n")[2]


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (NOTE.replace("20852163", "20852164"), "a signature is wrong"),
        (NOTE.replace("\n\n", "\n"), "not a signed note"),
        (signature_alone("\n"), "not a signed note"),  # signed as it is: nothing is wrong but that no text is there
        (SIGNER.sign("x" * LONGEST), "not a signed note"),
        (NOTE.replace("— ", "- "), "not a signature line"),
        (NOTE.removesuffix("\n"), "not a signed note"),
        (NOTE.replace("— example.com/log", "— example.com/other"), "not signed by a key"),
        (SIGNER.sign(str(CHECKPOINT))[:-6] + "AAA=\n", "not base64"),
        (NOTE.replace("— example.com/log ", "— example.com/log  "), "not a signature line"),
        (NOTE.replace("— example.com/log ", "— example.com/log\t"), "not a signed note"),
        (NOTE + "\n", "not a signature line"),
        (NOTE + "— example.com/other AAAAAAAA\x0b— example.com/other AAAAAAAA\n", "not a signed note"),
        (NOTE + "— example.com/other AAAAAAAA\u2028", "not a signed note"),
        (NOTE + "— example.com/other AAAA\n", "not a signature line"),
        (NOTE + "— example.com/other AAAAAA==\n", "not a signature line"),
        (NOTE + "— exam+ple AAAAAAAA\n", "not a signature line"),
        (SIGNER.sign("example.com/log\n5\n\x1b[2J\n"), "not a signed note"),
        (SIGNER.sign("example.com/log\r\n5\n"), "not a signed note"),
        ("", "not a signed note"),
        ("\n\n", "not a signature line"),
    ],
)
def test_what_is_not_signed_as_it_is_is_refused(note: str, reason: str) -> None:
    with pytest.raises(BadNote, match=reason):
        signed_by(note, [SIGNER.verifier])


def test_a_note_may_be_as_long_as_64_kib() -> None:
    text = "x" * (LONGEST - len(SIGNER.sign("\n"))) + "\n"
    assert len(SIGNER.sign(text)) == LONGEST
    assert signed_by(SIGNER.sign(text), [SIGNER.verifier]) == SIGNER.verifier
    with pytest.raises(BadNote, match="not a signed note"):
        signed_by(SIGNER.sign("x" + text), [SIGNER.verifier])


def test_base64_is_written_in_one_way() -> None:
    """The last letter before `=` has bits that mean nothing: changed, it decodes to the same."""
    head, padding = NOTE[:-2], NOTE[-2:]
    assert padding == "=\n"
    with pytest.raises(BadNote, match="base64"):
        signed_by(head[:-1] + chr(ord(head[-1]) + 1) + padding, [SIGNER.verifier])


def test_an_unknown_signature_is_passed_over_and_a_wrong_one_of_a_known_key_is_not() -> None:
    other = Signer.of("example.com/log", bytes(32))
    both = NOTE + other.sign(str(CHECKPOINT)).rpartition("\n\n")[2]
    assert signed_by(both, [SIGNER.verifier]) == signed_by(both, [SIGNER.verifier, other.verifier]) == SIGNER.verifier
    forged = NOTE + other.sign("other\n").rpartition("\n\n")[2]
    with pytest.raises(BadNote, match="wrong"):
        signed_by(forged, [SIGNER.verifier, other.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "log\n5\n",
        "log\n05\nAAAA\n",
        "log\n5\nAAAA\n",
        "log\n5\n!\n",
        *(f"log\n{size}\n{ROOT}\n" for size in ("-1", "+5", "0_5", "\u0665", " 5", "5 ", "", "9" * 19)),
        f"log\n5\n{ROOT[:-2]}B=\n",
        f"\n5\n{ROOT}\n",
        f"log\n5\n{ROOT}\nmore\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        checkpoint_of(f"{text}\n— log AAAA\n")


def written(name: str, public: bytes, kind: bytes = b"\1") -> str:
    """Return a verifier key whose id belongs to it, of whatever name, size and kind."""
    raw = base64.b64encode(kind + public).decode()
    return f"{name}+{Verifier(name, public).key_id.hex()}+{raw}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not an Ed25519 verifier key"),
        ("name", "not an Ed25519 verifier key"),
        ("a+00000000+AAAA", "not an Ed25519 verifier key"),
        ("a b+1+2", "base64"),
        (written("", NEUMANN.public), "not an Ed25519 verifier key"),
        (written("a b", NEUMANN.public), "not an Ed25519 verifier key"),
        (written("a\u2003b", NEUMANN.public), "not an Ed25519 verifier key"),
        (written("a", NEUMANN.public, b"\2"), "not an Ed25519 verifier key"),
        (written("a", NEUMANN.public[1:]), "not an Ed25519 verifier key"),
        (written("a", NEUMANN.public + b"\0"), "not an Ed25519 verifier key"),
        (str(NEUMANN).replace("c74f20a3", "c74f20a4"), "the key id does not belong to the key"),
    ],
)
def test_what_is_no_key_is_refused(line: str, reason: str) -> None:
    assert Verifier.parse(written("a", NEUMANN.public)) == Verifier("a", NEUMANN.public)
    with pytest.raises(ValueError, match=reason):
        Verifier.parse(line)
