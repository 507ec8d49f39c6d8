"""Ends of a process that skip `atexit`: signals, `os.exec*`, `os._exit`, and the children of multiprocessing."""

import _thread
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from types import BuiltinFunctionType, FrameType
from typing import Any

import wrapt

from qualitrace.quiet import never_raises

SIGNALS = ("SIGTERM", "SIGHUP")  # the latter ends what runs in a terminal that is closed

_hooked: list[str] = []
_set_handler = signal.signal


class _Shutdown:
    """Whether a shutdown is going on, and the signal that came meanwhile."""

    going_on = False
    number: int | None = None


@contextmanager
def signals_wait() -> Generator[None]:
    """Let a signal that would end the process in the block do so after it; the same signal again does so at once."""
    outer, _Shutdown.going_on = _Shutdown.going_on, True
    try:
        yield
    finally:
        _Shutdown.going_on = outer
        if not outer and _Shutdown.number is not None:
            os.kill(os.getpid(), _Shutdown.number)


def _forget_shutdown() -> None:
    """A child that was forked meanwhile does not have the thread that shuts down."""
    _Shutdown.going_on, _Shutdown.number = False, None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_shutdown)


class _Masks(threading.local):
    """The signals that this thread has blocked, before each of the hooks below."""

    def __init__(self) -> None:
        self.before: list[Iterable[int]] = []


_masks = _Masks()


def hold_signals_in_forks() -> None:
    """Let signals wait until all hooks of a fork that are registered so far have run.

    Those of OpenTelemetry start a thread in the child. A handler that shuts down in the middle of that never gets the
    locks that the interrupted code holds, and the child never ends. Call it after such a hook was registered.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)


def _hold() -> None:
    _masks.before.append(signal.pthread_sigmask(signal.SIG_BLOCK, _numbers()))


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before.pop())


@never_raises
def before_every_end(shutdown: Callable[[], None], flush: Callable[[], None]) -> None:
    """Call `shutdown` before this process, or a forked child, ends, and `flush` before it becomes another program.

    A kill (SIGKILL) and a crash cannot be foreseen. Signals that the app handles itself are left to it.
    """
    _on_signals(shutdown)
    if _hooked:
        return
    _hooked.append(__name__)
    for name, before in (("_exit", shutdown), ("execv", flush), ("execve", flush)):
        if hasattr(os, name):
            wrapt.wrap_function_wrapper(os, name, _calling(before))
    wrapt.register_post_import_hook(lambda util: _on_end_of_children(util, shutdown), "multiprocessing.util")


def _calling(before: Callable[[], None]) -> Callable[..., Any]:
    def wrapper(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
        before()
        return wrapped(*args, **kwargs)

    return wrapper


def _on_end_of_children(util: Any, shutdown: Callable[[], None]) -> None:
    """Let multiprocessing, whose children end by `os._exit`, call `shutdown` as the last of its finalizers."""

    def finalize(_: Any) -> None:
        util.Finalize(None, shutdown, exitpriority=-1000)

    # A child clears its finalizers, then it calls these.
    util.register_after_fork(util, finalize)


def _on_signals(shutdown: Callable[[], None]) -> None:
    # Python calls the handler between two bytecodes: a process in a long C call ends when that returns.
    if threading.current_thread() is not threading.main_thread():
        return

    def die(number: int, _: FrameType | None) -> None:
        _set_handler(number, signal.SIG_DFL)  # a second signal kills at once
        if _Shutdown.going_on:  # it may be this very thread that was interrupted
            _Shutdown.number = number
        elif isinstance(_thread.start_new_thread, BuiltinFunctionType):
            end(number)
        else:  # gevent's or eventlet's, in whose event loop nothing may wait
            _thread.start_new_thread(end, (number,))

    def end(number: int) -> None:
        shutdown()
        os.kill(os.getpid(), number)

    for number in _numbers():
        if signal.getsignal(number) is signal.SIG_DFL:
            _set_handler(number, die)
    _stay_the_default(die)


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]


def _stay_the_default(die: Callable[[int, FrameType | None], None]) -> None:
    """Let `die` be what the app gets when it sets the default, as workers of servers do (gunicorn's of uvicorn)."""
    if isinstance(signal.signal, wrapt.FunctionWrapper):
        return

    def set_handler(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
        before = wrapped(*args, **kwargs)
        if len(args) == 2 and args[0] in _numbers() and args[1] is signal.SIG_DFL:
            wrapped(args[0], die)
        return before

    wrapt.wrap_function_wrapper(signal, "signal", set_handler)
