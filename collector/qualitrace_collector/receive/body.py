"""Reads a request's body within its limits."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from qualitrace_collector.receive.errors import TooLarge, TooSlow, Undecodable
from qualitrace_collector.receive.guard import Hold


def content_type(request: Request) -> str:
    """Return the media type without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, max_bytes: int, seconds: float, hold: Hold) -> bytes:
    """Return the body as it was sent, of at most `max_bytes`, within `seconds`; `hold` accounts for it.

    Raises:
        TooLarge, TooSlow, Undecodable, Refused: it cannot be had.
    """
    chunks: list[bytes] = []
    room = max_bytes
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                room -= len(chunk)
                if room < 0:
                    raise TooLarge(max_bytes)
                hold.add(len(chunk))
                chunks.append(chunk)
    except ClientDisconnect as error:
        raise Undecodable("the client went away before the end of the body") from error
    except TimeoutError as error:
        raise TooSlow(seconds) from error
    return b"".join(chunks)
