"""Why the demo failed."""


class DemoFailed(Exception):
    """The demo did not show what it is there to show; the message says where and why."""
