"""How often to try, and how often to speak. Pure: the time is an argument, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

import xxhash

TRIES_MAX = 10  # over about four hours
FIRST_DELAY_S = 2.0
FACTOR = 4.0
DELAY_S_MAX = 3_600.0
JITTER = 0.25  # of the delay, to either side: channels that failed together must not come back together


def delay_s(tries: int, identity: str) -> float:
    """How long to wait after `tries` failures. The jitter is made of `identity`: it is the same whoever asks."""
    base = min(DELAY_S_MAX, FIRST_DELAY_S * FACTOR ** (min(tries, TRIES_MAX) - 1))
    spread = xxhash.xxh64_intdigest(f"{identity}/{tries}".encode()) / 2**64  # 0 to 1
    return base * (1 + JITTER * (2 * spread - 1))


@dataclass(slots=True)
class TokenBucket:
    """At most `capacity` at once, and `capacity` in `refill_s` on average."""

    capacity: int = 20
    refill_s: float = 60.0
    tokens: float = field(default=-1.0)  # below 0: not used yet, full
    at_s: float = 0.0

    def available(self, now_s: float) -> int:
        """Whole tokens at `now_s`."""
        if self.tokens < 0:
            self.tokens, self.at_s = float(self.capacity), now_s
        gained = max(0.0, now_s - self.at_s) * self.capacity / self.refill_s
        self.tokens, self.at_s = min(float(self.capacity), self.tokens + gained), now_s
        return int(self.tokens + 1e-9)

    def take(self, now_s: float) -> None:
        """Spend one that is available."""
        self.available(now_s)
        self.tokens = max(0.0, self.tokens - 1)
