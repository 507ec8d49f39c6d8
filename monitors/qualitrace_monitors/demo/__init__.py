"""The demo: the whole way from a question to an alert, on one machine, without network or key."""


def main(keep: bool) -> int:
    """Run the demo and return the exit status: 0 only if everything it shows really happened.

    Args:
        keep: leave everything running afterwards, under a trickle of questions, until Ctrl-C.
    """
    from qualitrace_monitors.demo.run import run_demo

    return run_demo(keep)
