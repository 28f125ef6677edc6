"""Keyed pseudonyms of account ids and addresses.

A pseudonym is HMAC-SHA-256 under a key of the environment, in hex. Without the key nobody can tell whom it
stands for, nor test a guess; with it, an account that comes back out of a backup is recognised as erased.
"""

import hmac
import unicodedata
from typing import Final


class Pseudonym(str):
    """64 hexadecimal digits. The only text about a person that a log line may carry."""

    __slots__ = ()


class Pseudonyms:
    """Makes pseudonyms under one key."""

    def __init__(self, key: bytes) -> None:
        self._key: Final = key

    def of_uid(self, uid: str) -> Pseudonym:
        """The name of a data subject's tombstone and erasure."""
        return self._mac("uid", uid)

    def of_email(self, email: str) -> Pseudonym:
        """The name of an enrolment. Upper and lower case are one address, as they are for Firebase Auth."""
        return self._mac("email", unicodedata.normalize("NFC", email.strip()).lower())

    def of_request(self, action: str, who: str) -> Pseudonym:
        """The name of a counter of requests, for the minutes that it lives: another one for each action."""
        return self._mac("request", f"{action}\0{who}")

    def of_network(self, uid: str, network: str) -> Pseudonym:
        """What an IP lock keeps of a masked network: for another user it is another, so that nobody can be linked."""
        return self._mac("network", f"{uid}\0{network}")

    def of_code(self, uid: str, code: str) -> Pseudonym:
        """What is kept of a one-time code: without the key it can't be guessed from this."""
        return self._mac("code", f"{uid}\0{code}")

    def of_proposal(self, action: str, request: str) -> Pseudonym:
        """The name of what one member of staff proposes and another must confirm by the same request."""
        return self._mac("proposal", f"{action}\0{request}")

    def of_principal(self, principal: str) -> Pseudonym:
        """Who did something in the audit log: a person's address there is theirs."""
        return self._mac("principal", principal)

    def of_case(self, detector: str, about: str, day: str) -> Pseudonym:
        """The name of what one detector has seen of one thing on one day: seen again, it is the same case."""
        return self._mac("case", f"{detector}\0{about}\0{day}")

    def of_honey(self, seed: str) -> Pseudonym:
        """What makes an account id one that nobody has; see `honeytokens`."""
        return self._mac("honey", seed)

    def of_delivery(self, uid: str, name: str) -> Pseudonym:
        """The Message-ID of a letter: the same whenever it is sent again, and another one for everybody else's."""
        return self._mac("delivery", f"{uid}\0{name}")

    def receipt(self, request_id: str) -> str:
        """The secret that shows who asked for an erasure: the same for the same request, known to nobody else."""
        return f"{request_id}.{self._mac('receipt', request_id)}"

    def request_of(self, receipt: str) -> str | None:
        """The request that `receipt` belongs to, or None if this key did not make it."""
        request_id = receipt.partition(".")[0]
        genuine = hmac.compare_digest(self.receipt(request_id).encode(), receipt.encode())
        return request_id if genuine else None

    def _mac(self, domain: str, value: str) -> Pseudonym:
        # The domain keeps an e-mail's pseudonym from ever meeting an account's.
        return Pseudonym(hmac.digest(self._key, f"{domain}\0{value}".encode(), "sha256").hex())
