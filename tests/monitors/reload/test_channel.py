"""What the supervisor and `work` say to each other about reloads."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from qualitrace_monitors.reload.channel import Reloader, ReloadState, Requests
from support.waiting import eventually


@pytest.fixture
def requests() -> Iterator[Requests]:
    """Provide the supervisor's end; SIGHUP and the environment are as before afterwards."""
    handler, environment = signal.getsignal(signal.SIGHUP), dict(os.environ)
    yield (made := Requests())
    signal.signal(signal.SIGHUP, handler)
    os.environ.clear()
    os.environ.update(environment)
    assert made.child_end > 0


def of_supervisor(requests: Requests) -> Reloader:
    """Return the end of a `work` that starts now."""
    requests.remember(ReloadState(successful=True, succeeded_at=7.0))
    reloader = Reloader.of_supervisor()
    assert reloader is not None
    return reloader


def test_a_request_is_answered(requests: Requests) -> None:
    """`work` asks and waits; what the supervisor says, mistakes and all, is the answer and the state from then on."""
    reloader = of_supervisor(requests)
    assert reloader.state.succeeded_at == 7.0
    refused = ReloadState(successful=False, succeeded_at=7.0, mistakes=("listen.web: cannot be reloaded",))
    answering = threading.Thread(target=lambda: eventually(requests.take) and requests.answer(refused))
    answering.start()
    answer = reloader.reload(30)
    answering.join()
    assert answer is not None
    assert (answer.successful, list(answer.mistakes)) == (False, ["listen.web: cannot be reloaded"])
    assert reloader.state == answer


def test_any_number_of_mistakes_arrives(requests: Requests) -> None:
    """A file of a thousand long mistakes is refused like any other."""
    reloader = of_supervisor(requests)
    requests.answer(ReloadState(successful=False, succeeded_at=0.0, mistakes=["客\x01" * 10_000] * 1000))
    eventually(lambda: not reloader.state.successful)
    assert len(reloader.state.mistakes) == 100


def test_a_hangup_is_a_request_and_counts_once(requests: Requests) -> None:
    """Two of them, before the first is taken, are one reload."""
    assert not requests.take()
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    assert requests.take()
    assert not requests.take()


def test_a_work_that_reads_nothing_holds_up_nobody(requests: Requests) -> None:
    """What does not fit into the sockets is left out: the next `work` gets the state at its start."""
    state = ReloadState(successful=False, succeeded_at=1.0, mistakes=["x" * 1000] * 100)
    for _ in range(50):
        requests.answer(state)
    assert not requests.take()
