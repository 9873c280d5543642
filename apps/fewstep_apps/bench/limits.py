"""What the benchmark's server takes from anybody in the network; docs/reliability.md says against whom."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

REPORT_BYTES = 1 << 20
"""Of the largest report."""
DEVICES = 200
"""That may ask for a job in one run."""
CONNECTIONS = 128
"""At once, of all devices."""
CONNECTIONS_OF_ONE = 32
"""At once, of one address; a browser opens six."""
CONNECTION_SECONDS = 120.0
"""For a request and its answer; the largest file of the app is 4 MiB."""
SILENCE_SECONDS = 15.0
"""Between two bytes of a request."""
LINGER_BYTES, LINGER_SECONDS = 4 * REPORT_BYTES, 2.0
"""Of a refused body that are read so that the client sees the answer, and between two pieces of it."""
REQUESTS_A_SECOND, REQUESTS_AT_ONCE = 50.0, 500.0
"""Of one address, on end and at the beginning: the app loads some 100 files."""
ADDRESSES = 1000
"""That are remembered."""


@dataclass
class Guard:
    """Counts connections and requests by address. A bucket of `REQUESTS_AT_ONCE` tokens fills by `REQUESTS_A_SECOND`."""

    now: Callable[[], float] = time.monotonic
    _open: dict[str, int] = field(default_factory=dict)
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, address: str) -> bool:
        """Whether one more connection is taken; `leave` must follow if it is."""
        with self._lock:
            own = self._open.get(address, 0)
            if own >= CONNECTIONS_OF_ONE or sum(self._open.values()) >= CONNECTIONS:
                return False
            self._open[address] = own + 1
            return True

    def leave(self, address: str) -> None:
        """A connection has ended."""
        with self._lock:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def admits_request(self, address: str) -> bool:
        """Whether one more request is answered."""
        with self._lock:
            now = self.now()
            if address not in self._buckets and len(self._buckets) >= ADDRESSES:
                del self._buckets[next(iter(self._buckets))]
            left, before = self._buckets.pop(address, (REQUESTS_AT_ONCE, now))
            left = min(REQUESTS_AT_ONCE, left + (now - before) * REQUESTS_A_SECOND)
            self._buckets[address] = (max(left - 1, 0.0), now)
            return left >= 1
