"""Reads the small forms that pages send."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from qualitrace_monitors.web.page import BadQuery

MOST_BYTES = 16_384
"""The size of a form: a label, a comment and where to go next."""
MOST_FIELDS = 20


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form in the encoding that browsers use without files.

    Raises:
        BadQuery: it is larger, has more fields, or is no such form.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BadQuery(f"the form is larger than {MOST_BYTES} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise BadQuery(f"the form is not UTF-8 with at most {MOST_FIELDS} fields") from None
