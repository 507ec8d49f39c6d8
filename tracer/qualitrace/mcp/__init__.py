"""Traces the Model Context Protocol: tools that are called and resources that are read.

The official SDK (2.x) makes a span of each request in the client and in the server, without content, and carries the
trace in the request's `_meta`. Its server's span gets the content here. Its client's span ends before the result is
known, so the span of the call itself takes its place. The SDK before 2 makes no spans and carries nothing.

A span that is there already is used: of an agent framework that traces its tools, or of FastMCP's client and server.
"""

import wrapt

from qualitrace.mcp.client import wrap_dispatcher, wrap_session, wrap_stdio
from qualitrace.mcp.server import wrap_server, wrap_server_before_2


def trace_mcp() -> None:
    """Make, or complete, a span of each tool's call and each resource's reading, in the client and in the server."""
    for module, wrap in (
        ("mcp.client.session", wrap_session),
        ("mcp.client.stdio", wrap_stdio),
        ("mcp.shared.jsonrpc_dispatcher", wrap_dispatcher),
        ("mcp.server.runner", wrap_server),
        ("mcp.server.lowlevel.server", wrap_server_before_2),
    ):
        wrapt.register_post_import_hook(wrap, module)
