"""The threads that deliver notifications, one for each receiver: one that hangs holds up no other."""

import threading
import time
from collections.abc import Iterable
from functools import partial

from qualitrace_collector.process.loop import Loop
from qualitrace_monitors.component_names import DELIVERY
from qualitrace_monitors.notify.delivery import Notifier

PAUSE_SECONDS = 0.5


class Deliveries:
    """Delivers the outbox.

    Attributes:
        loops: the threads.

    Args:
        receivers: their names.
    """

    def __init__(self, notifier: Notifier, receivers: Iterable[str]) -> None:
        self._notifier = notifier
        self._by_receiver = {name: Loop(f"{DELIVERY}:{name}", partial(self._step, name)) for name in receivers}
        self.loops = [Loop(DELIVERY, self._give_up_former), *self._by_receiver.values()]

    def _step(self, receiver: str) -> float:
        return 0.0 if self._notifier.deliver_next(receiver, time.time()) else PAUSE_SECONDS

    def _give_up_former(self) -> float:
        self._notifier.give_up_former(time.time())
        return PAUSE_SECONDS

    def finish(self, deadline: float) -> None:
        """Deliver what is left when the threads have stopped, until `deadline` (Unix seconds).

        A receiver that still holds up its thread is left out.
        """
        threads = [
            threading.Thread(target=self._deliver_all, args=(name, deadline), name=loop.name, daemon=True)
            for name, loop in self._by_receiver.items()
            if not loop.alive
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.time()))

    def _deliver_all(self, receiver: str, deadline: float) -> None:
        while time.time() < deadline and self._notifier.deliver_next(receiver, time.time()):
            pass
