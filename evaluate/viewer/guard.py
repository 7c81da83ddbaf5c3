"""What a request must show before anything is written for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from secrets import compare_digest
from typing import Any

MOST_BYTES = 2**21  # 20,000 spots that are accepted at once
READ_WITHIN_S = 20.0
TOKEN_HEADER = "X-Ballspot-Token"

Write = Callable[[Any], tuple[HTTPStatus, Any]]


@dataclass(frozen=True)
class Writes:
    """What a server writes: by its address, what is done with the JSON value that is sent there."""

    token: str
    table: Mapping[str, Write]


class Refusal(Exception):  # noqa: N818  no error of ours
    """A request that is turned away, and how HTTP calls that."""

    def __init__(self, status: HTTPStatus, said: str) -> None:
        super().__init__(said)
        self.status = status


def check_request(headers: Message, *, hosts: set[str], token: str) -> None:
    """Raises Refusal unless the request comes from the page itself, opened with the token, and brings JSON.

    A page of another origin cannot set these headers without asking first, which is refused (CORS); it cannot hide
    its Origin either. The Host is checked as for reading, so that no foreign name leads here.
    """
    named = [one.lower() for one in headers.get_all("Host", [])]
    if named not in [[one] for one in hosts]:
        raise Refusal(HTTPStatus.FORBIDDEN, "this host is not served here")
    if [one.lower() for one in headers.get_all("Origin", [])] != [f"http://{named[0]}"]:
        raise Refusal(HTTPStatus.FORBIDDEN, "only the page itself may write")
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Refusal(HTTPStatus.FORBIDDEN, "only the page itself may write")
    given = headers.get_all(TOKEN_HEADER, [])
    if len(given) != 1 or not compare_digest(given[0].encode("utf-8", "replace"), token.encode()):
        raise Refusal(
            HTTPStatus.FORBIDDEN, "the address lacks the token: open the page by the address that was printed"
        )
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "only JSON is taken")


def body_length(headers: Message) -> int:
    """How many bytes the body has. Raises Refusal where that is not told, or more than `MOST_BYTES`."""
    told = headers.get_all("Content-Length", [])
    if "Transfer-Encoding" in headers or len(told) != 1 or not (told[0].isascii() and told[0].isdigit()):
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the length of the body must be told")
    if len(told[0]) > 12 or int(told[0]) > MOST_BYTES:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_BYTES} bytes")
    return int(told[0])
