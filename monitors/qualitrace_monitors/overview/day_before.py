"""The day before the last hour: what the last hour is compared with."""

import math
import threading
from collections.abc import Sequence

from qualitrace_monitors.estimate.estimator import Estimate, Estimator
from qualitrace_monitors.estimate.sums import DAY, HOUR, MINUTE

NOW_SECONDS, BEFORE_SECONDS = HOUR, DAY
"""The window of what is now, and of what it is compared with: the day before it."""


class DayBefore:
    """The estimates of that day, made once a minute for all who look: only scores that come late change them sooner.

    It keeps those of one minute, as many as services have judges and tiers. Threads may share it.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self._lock = threading.Lock()
        self._minute, self._estimates = -1, list[Estimate]()

    def estimates(self, now: float) -> Sequence[Estimate]:
        """Return the estimates of the day that ended an hour before `now` (Unix seconds)."""
        minute = math.floor(now / MINUTE)
        with self._lock:  # who comes meanwhile waits for the same
            if minute != self._minute:
                # By whole minutes: the one in which the last hour begins belongs to that hour alone.
                self._estimates = self._estimator.estimates(now - NOW_SECONDS - MINUTE, BEFORE_SECONDS)
                self._minute = minute
            return self._estimates
