"""Counting of Firestore calls at the gRPC channel.

Counted as Firestore bills it: a document that an answer holds, found or missing, is a read, and so is a query or a
listing that finds nothing; each write of a commit is a write. https://firebase.google.com/docs/firestore/pricing
"""

from collections.abc import Callable, Iterator
from typing import Any

import grpc


class Meter(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Counts reads, writes and, among those, deletes of every Firestore client that is made from now on."""

    def __init__(self, leaving: Callable[[int], None] = lambda _deletes: None) -> None:
        """`leaving` is told of the deletes of each commit just before it goes out."""
        self.reads = self.writes = self.deletes = self.calls = 0
        self._leaving = leaving
        connect = grpc.insecure_channel  # what the client reaches an emulator with
        grpc.insecure_channel = lambda *at, **options: grpc.intercept_channel(connect(*at, **options), self)

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Commits; a listing holds a page of documents in one answer."""
        self.calls += 1
        if writes := getattr(request, "writes", ()):
            deletes = sum(1 for write in writes if write.delete)
            self.writes += len(writes)
            self.deletes += deletes
            self._leaving(deletes)
        answer = continuation(client_call_details, request)
        method = client_call_details.method.rpartition("/")[2]
        if method == "ListDocuments":
            self.reads += max(1, len(answer.result().documents))
        elif method in ("GetDocument", "ListCollectionIds"):
            self.reads += 1
        return answer

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Queries and lookups."""
        self.calls += 1
        return _Metered(self, continuation(client_call_details, request))


class _Metered:
    """A stream of answers, counted as they come in. All else is the stream's own."""

    def __init__(self, meter: Meter, answers: Any) -> None:
        self._answers = answers
        self._counted = _counted(meter, answers)

    def __iter__(self) -> "_Metered":
        return self

    def __next__(self) -> Any:
        return next(self._counted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answers, name)


def _counted(meter: Meter, answers: Any) -> Iterator[Any]:
    """Count the answers as they come in.

    No method of `_Metered`: an object in a cycle outlives the call. gRPC hangs when such a stream is left at exit.
    """
    meter.reads += 1  # the first document, or nothing
    documents = 0
    for answer in answers:
        if getattr(answer, "missing", "") or getattr(answer, "found", None) or getattr(answer, "document", None):
            documents += 1
            meter.reads += documents > 1
        yield answer
