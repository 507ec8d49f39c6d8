"""Requests to servers without TLS, as httpx makes them.

For each of its calls httpx reads all authorities that the host trusts, which takes tens of milliseconds of CPU: a test
that asks again and again would keep half a core busy.
"""

from functools import partial

import httpx

get = partial(httpx.get, verify=False)
post = partial(httpx.post, verify=False)
