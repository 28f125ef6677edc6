"""Demo: one customer's life with the service, and another's beside it."""

import base64
import hashlib
import io
import re
import secrets
import time
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from PIL import Image

from local.demo import receipt_check as offline
from local.demo.client import Client, Person, name_of
from local.demo.narration import Broken, Listener, refused, wait_for
from local.demo.scan import contents, scan
from local.stack.stack import Stack

PHOTOGRAPH = Path(__file__).parents[1] / "data" / "photograph.jpg"
_GPS = 0x8825


def tell(stack: Stack, client: Client, listener: Listener) -> None:  # noqa: PLR0915  (read from beginning to end)
    """From enrolment to the receipt of an erasure. Raises Broken and CallError as `story.tell` does."""
    photograph = develop()

    listener.chapter("A child is turned away, and so is who has not agreed")
    _turned_away(stack, client, listener)

    listener.chapter("Ada and Grace sign up")
    ada, grace = client.join(), client.join()
    listener.check("both have an account and are signed in", bool(ada.token and grace.token))

    listener.chapter("Ada locks her sign-in to the network of her workshop, and forgets it when she goes home")
    _locked_out_and_let_in(stack, client, ada, listener)

    listener.chapter("Ada uploads a photograph that says where it was taken")
    listener.saw("place in the photograph", str(_gps(photograph)))
    image_id = client.upload(ada, photograph)
    record = wait_sealed(client, ada, image_id)
    listener.check("it is ready, and its record says what it is", record["contentType"] == "image/jpeg")
    bucket = _bucket(stack)
    sealed = bucket.blob(f"images/{ada.uid}/{image_id}").download_as_bytes()
    listener.saw("first bytes as uploaded", _hexdump(photograph))
    listener.saw("first bytes as stored  ", _hexdump(sealed))
    listener.check("what is stored is not a JPEG", b"\xff\xd8\xff" not in sealed[:256])
    gone = wait_for("the plaintext to go", lambda: not list(bucket.list_blobs(prefix=f"incoming/{ada.uid}/")) or None)
    listener.check("the plaintext is gone", gone)

    listener.chapter("Ada opens it; nobody else can")
    opened = client.open(image_id, ada.token)
    listener.check(
        "Ada gets a JPEG of the same size", opened.status_code == 200 and _same_size(opened.content, photograph)
    )
    listener.check(
        "without its place, camera and description", _gps(opened.content) == {} and b"Canary" not in opened.content
    )
    listener.check("Grace's attempt is a 404", client.open(image_id, grace.token).status_code == 404)
    listener.check("without signing in it is a 401", client.open(image_id, None).status_code == 401)

    listener.chapter("Grace has an image too; what she has is noted byte for byte")
    graces_image = client.upload(grace, photograph)
    wait_sealed(client, grace, graces_image)
    wait_for("Grace's plaintext to go", lambda: not list(bucket.list_blobs(prefix=f"incoming/{grace.uid}/")) or None)
    before = _belongings(stack, grace)
    listener.saw("things of Grace's in all stores", str(len(before)))

    listener.chapter("Ada deletes her account")
    places = scan(stack, needles(ada, photograph, opened.content))
    stores = sorted({finding.store for finding in places})
    listener.saw("before: her id, address, name or photograph occur", f"{len(places)} times in {', '.join(stores)}")
    listener.check(
        "so the scan can find her",
        {"auth", "firestore (default)", "firestore vault", "redis", "storage"} <= set(stores),
    )
    answer = client.call("delete_account", {"confirm": True}, ada.token)
    receipt = answer["receipt"]
    listener.saw("receipt", receipt)
    letter = wait_for("the letter", lambda: stack.mail.last_to(ada.email, "deleted"))
    listener.saw("she is written to", str(letter.message["Subject"]))
    listener.check("with the receipt in it", receipt in letter.message.get_body(("plain",)).get_content())
    listener.check(
        "her token, still valid, opens nothing from that moment", client.open(image_id, ada.token).status_code == 404
    )
    listener.check("nor does it read her profile", client.document(f"users/{ada.uid}", ada.token).status_code == 403)
    again = client.call("delete_account", {"confirm": True}, ada.token)
    listener.check("asked twice, it is one deletion with one receipt", again == answer)
    certificate = wait_for("the certificate", lambda: _certificate(client, receipt), 90)
    listener.certificate(certificate)
    listener.check("the certificate's signature is good", _signature_holds(certificate))
    listener.check("nothing remains in any store", all(line["remaining"] == 0 for line in certificate["stores"]))
    listener.check("her key was destroyed", certificate["keyDestroyed"] and _deleted(certificate, "user-key") == 1)

    listener.chapter("Ada has a receipt of the log, and checks it without us")
    _proved(stack, client, receipt, listener)

    listener.chapter("Somebody who trusts nothing of this looks through every store")
    found = scan(stack, needles(ada, photograph, opened.content))
    listener.saw("occurrences of her id, address, name or photograph", ", ".join(map(str, found)) or "0")
    listener.check("none in any store, log or file", not found)
    listener.check("Ada can't sign in any more", refused(lambda: client.sign_in(ada.email, ada.password)) is not None)

    listener.chapter("Grace has lost nothing")
    listener.check("what is hers is the same, byte for byte", _belongings(stack, grace) == before)
    listener.check("and opens", client.open(graces_image, grace.token).status_code == 200)


def _proved(stack: Stack, client: Client, receipt: str, listener: Listener) -> None:
    def look() -> dict[str, Any] | None:
        answer = client.call("receipt", {"receipt": receipt})
        return answer if "proof" in answer else None

    answer, key = wait_for("the proof", look), offline.published_key(stack)
    listener.saw("proof", f"{answer['proof'].splitlines()[2]}, {len(answer['proof'])} bytes")
    listener.saw("the log's key, as it would be published", key)
    proved, verdict = offline.verify(stack, answer, key)
    listener.saw("verify.py says", verdict)
    listener.check("her certificate is in the log, as one file of Python finds by itself", proved)
    answer["certificate"]["keyDestroyed"] = False
    listener.check("and a certificate with one word changed is not", not offline.verify(stack, answer, key)[0])


def _locked_out_and_let_in(stack: Stack, client: Client, ada: Person, listener: Listener) -> None:
    address = "198.51.100.27"  # of documentation (RFC 5737)
    with Client(stack, address) as workshop:
        workshop.call("set_ip_lock", {"enabled": True}, ada.token)
    refusal = refused(lambda: client.sign_in(ada.email, ada.password))
    listener.check("from home she is not let in", refusal is not None)
    # Auth wraps what our function says into a text of its own.
    [told] = re.findall(r'"message":"(.*?)"', str(refusal))
    listener.saw("and is told", told)
    listener.check("the address is in no store and no log", not scan(stack, {"address": address.encode()}))
    letters = stack.mail.messages
    with Client(stack, "127.0.0.1") as home:
        home.call("send_code", {"email": ada.email})
        letter = wait_for("the letter", lambda: next((m for m in letters if ada.email in m.recipients), None))
        [code] = re.findall(r"\b\d{8}\b", letter.message.get_content())
        home.call("unlock", {"email": ada.email, "code": code})
    signed_in = client.sign_in(ada.email, ada.password)
    listener.check("with the code that she was sent, she is", bool(signed_in.token))
    client.call("set_ip_lock", {"enabled": False}, ada.token)


def develop() -> bytes:
    """The photograph, a little darker than anybody else's, so that a search for its bytes finds nobody else's."""
    shade = 1 - secrets.randbelow(2000) / 10_000
    with Image.open(PHOTOGRAPH) as image:
        kept = {name: image.info[name] for name in ("exif", "icc_profile", "comment")}
        sink = io.BytesIO()
        image.point([int(level * shade) for level in range(256)] * 3).save(sink, "JPEG", quality=92, **kept)
    return sink.getvalue()


def needles(person: Person, *photographs: bytes) -> dict[str, bytes]:
    """What must not be found of a person: id, address, and pieces from throughout their photographs."""
    pieces = {
        f"photograph {number} at {offset}": content[offset : offset + 32]
        for number, content in enumerate(photographs)
        for offset in range(len(content) // 8, len(content) - 32, len(content) // 8)
    }
    named = {"account id": person.uid, "e-mail address": person.email, "name": name_of(person.email)}
    return {what: text.encode() for what, text in named.items()} | pieces


def wait_sealed(client: Client, person: Person, image_id: str, status: str = "ready") -> dict[str, Any]:
    """The image's record, once it is there; raises Broken if it comes out otherwise than `status`."""

    def look() -> dict[str, Any] | None:
        answer = client.document(f"users/{person.uid}/images/{image_id}", person.token)
        if answer.status_code != 200:
            return None
        return {name: next(iter(value.values())) for name, value in answer.json()["fields"].items()}

    record = wait_for("the image's record", look)
    if record["status"] != status:
        raise Broken(f"the image is {record['status']}: {record.get('reason')}")
    return record


def _turned_away(stack: Stack, client: Client, listener: Listener) -> None:
    child = f"{secrets.token_hex(8)}@example.com"
    year = time.gmtime().tm_year
    refusal = refused(lambda: client.enrol(child, birthYear=year - 12))
    listener.check("a child of 12 is refused", refusal is not None and refusal.status == "PERMISSION_DENIED")
    listener.check("and nothing of it was kept", not scan(stack, {"address": child.encode()}))
    bypass = refused(lambda: client.sign_up(child, secrets.token_urlsafe(16)))
    listener.check("signing up past the form is refused", bypass is not None)


def _belongings(stack: Stack, person: Person) -> set[tuple[str, str, str]]:
    """Everything of a person in the stores, as (store, place, SHA-256)."""
    return {
        (store, place, hashlib.sha256(content).hexdigest())
        for store, place, content in contents(stack)
        if store not in ("log", "disk", "redis")  # counters run on and end by themselves
        if person.uid.encode() in content or person.uid in place
    }


def _certificate(client: Client, receipt: str) -> dict[str, Any] | None:
    answer = client.call("receipt", {"receipt": receipt})
    if answer["state"] == "stuck":
        raise Broken("the erasure is stuck")
    certificate: dict[str, Any] | None = answer.get("certificate")
    return certificate


def _signature_holds(certificate: dict[str, Any]) -> bool:
    signature = certificate["signature"]
    body = {name: value for name, value in certificate.items() if name != "signature"}
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature["publicKey"]))
    try:
        key.verify(base64.b64decode(signature["value"]), rfc8785.dumps(body))
    except InvalidSignature:
        return False
    return True


def _deleted(certificate: dict[str, Any], entry: str) -> int:
    return sum(line["deleted"] for line in certificate["stores"] if line["entry"] == entry)


def _bucket(stack: Stack) -> Any:
    return storage.Client(project=stack.project, credentials=AnonymousCredentials()).bucket(stack.bucket)


def _gps(content: bytes) -> dict[int, Any]:
    with Image.open(io.BytesIO(content)) as image:
        return dict(image.getexif().get_ifd(_GPS))


def _same_size(left: bytes, right: bytes) -> bool:
    with Image.open(io.BytesIO(left)) as one, Image.open(io.BytesIO(right)) as other:
        return one.format == other.format == "JPEG" and one.size == other.size


def _hexdump(content: bytes) -> str:
    shown = content[:16]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in shown)
    return f"{shown.hex(' ')}  |{text}|"
