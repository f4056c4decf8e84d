"""Shares `max_in_flight` of one reader over its connections, as RDY.

`client.reader` reports connections that come, go and deliver; what comes back are the RDY commands to send, in order:
those that lower come first, so that the sum stays within the budget at every moment. Half of the budget is shared
evenly, the other half by what each connection delivered lately. With more connections than budget, RDY 1 goes round:
from connections that were idle, or held it long, to others chosen by chance.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

# What a connection delivered counts half as much at each later redistribution.
_WEIGHT_DECAY: Final = 0.5

K = TypeVar("K", bound=Hashable)


class Flow(Enum):
    """How much of the budget may be used."""

    FULL = "full"
    PROBE = "probe"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Rdy(Generic[K]):
    """Send RDY `count` to the connection `key`."""

    key: K
    count: int


@dataclass(slots=True)
class _Share:
    """What is known of one connection."""

    cap: int
    held_since_ms: int = 0
    last_message_ms: int = 0
    rdy: int = 0
    delivered: int = 0
    weight: float = 0.0


class Credit(Generic[K]):
    """The RDY of each connection of one reader; knows no clock and no socket."""

    def __init__(
        self,
        max_in_flight: int,
        *,
        low_rdy_idle_timeout_ms: int,
        low_rdy_timeout_ms: int,
        random_fraction: Callable[[], float],
    ) -> None:
        """`random_fraction` gives numbers in [0, 1); instants are milliseconds of one monotonic clock."""
        self._max_in_flight = max_in_flight
        self._idle_timeout_ms = low_rdy_idle_timeout_ms
        self._held_timeout_ms = low_rdy_timeout_ms
        self._random_fraction = random_fraction
        self._shares: dict[K, _Share] = {}
        self._flow = Flow.FULL

    @property
    def max_in_flight(self) -> int:
        """The budget that the connections share."""
        return self._max_in_flight

    @property
    def flow(self) -> Flow:
        """How much of the budget may be used now."""
        return self._flow

    def rdy(self, key: K) -> int:
        """The RDY that the connection has now; 0 for one that is not known."""
        share = self._shares.get(key)
        return share.rdy if share is not None else 0

    def join(self, key: K, *, cap: int, now_ms: int) -> list[Rdy[K]]:
        """A connection is subscribed; `cap` is the `max_rdy_count` of its nsqd."""
        self._shares[key] = _Share(cap=max(1, cap), last_message_ms=now_ms)
        return self._replan(now_ms)

    def leave(self, key: K, *, now_ms: int) -> list[Rdy[K]]:
        """A connection is lost or closing; the others share what it had."""
        if self._shares.pop(key, None) is None:
            return []
        return self._replan(now_ms)

    def resize(self, max_in_flight: int, *, now_ms: int) -> list[Rdy[K]]:
        """The budget changes; 0 stops all delivery."""
        self._max_in_flight = max_in_flight
        return self._replan(now_ms)

    def set_flow(self, flow: Flow, *, now_ms: int) -> list[Rdy[K]]:
        """STOPPED: RDY 0 everywhere. PROBE: RDY 1 to one connection. FULL: every connection its share."""
        self._flow = flow
        return self._replan(now_ms)

    def note_delivery(self, key: K, count: int, *, now_ms: int) -> None:
        """`count` messages came in over a connection."""
        share = self._shares.get(key)
        if share is not None:
            share.delivered += count
            share.last_message_ms = now_ms

    def redistribute(self, *, now_ms: int) -> list[Rdy[K]]:
        """To be called every few seconds: weighs connections anew, and passes on scarce RDY."""
        for share in self._shares.values():
            share.weight = share.weight * _WEIGHT_DECAY + share.delivered
            share.delivered = 0
        expired: set[K] = set()
        if 0 < self._budget() < len(self._shares):
            expired = {key for key, share in self._shares.items() if self._is_expired(share, now_ms)}
        return self._replan(now_ms, expired)

    def _is_expired(self, share: _Share, now_ms: int) -> bool:
        if share.rdy == 0:
            return False
        idle_since_ms = max(share.last_message_ms, share.held_since_ms)
        return now_ms - idle_since_ms >= self._idle_timeout_ms or now_ms - share.held_since_ms >= self._held_timeout_ms

    def _budget(self) -> int:
        if self._flow is Flow.STOPPED:
            return 0
        return min(1, self._max_in_flight) if self._flow is Flow.PROBE else self._max_in_flight

    def _replan(self, now_ms: int, expired: Iterable[K] = ()) -> list[Rdy[K]]:
        budget = self._budget()
        wanted = self._scarce(budget, set(expired)) if budget < len(self._shares) else self._plenty(budget)
        lowered: list[Rdy[K]] = []
        raised: list[Rdy[K]] = []
        for key, share in self._shares.items():
            count = wanted.get(key, 0)
            if count == share.rdy:
                continue
            (lowered if count < share.rdy else raised).append(Rdy(key, count))
            if share.rdy == 0:
                share.held_since_ms = now_ms
            share.rdy = count
        return lowered + raised

    def _scarce(self, budget: int, expired: set[K]) -> dict[K, int]:
        """RDY 1 for as many as the budget allows: who has it keeps it, unless expired; chance chooses the rest."""
        holders = [key for key, share in self._shares.items() if share.rdy > 0 and key not in expired][:budget]
        waiting = [key for key, share in self._shares.items() if share.rdy == 0]
        chosen = holders + self._pick(waiting, budget - len(holders))
        if len(chosen) < budget:
            chosen += self._pick([key for key in expired if key not in chosen], budget - len(chosen))
        return dict.fromkeys(chosen, 1)

    def _pick(self, keys: list[K], count: int) -> list[K]:
        rest = list(keys)
        picked: list[K] = []
        while rest and len(picked) < count:
            picked.append(rest.pop(int(self._random_fraction() * len(rest))))
        return picked

    def _plenty(self, budget: int) -> dict[K, int]:
        """At least 1 for each; the rest half evenly, half by weight, within what each nsqd allows."""
        counts = dict.fromkeys(self._shares, 1)
        left = budget - len(counts)
        while left > 0:
            open_keys = [key for key in counts if counts[key] < self._shares[key].cap]
            if not open_keys:
                break
            given = 0
            for key, part in self._parts(open_keys, left):
                more = min(part, self._shares[key].cap - counts[key])
                counts[key] += more
                given += more
            left -= given
        return counts

    def _parts(self, keys: list[K], left: int) -> list[tuple[K, int]]:
        """Divide `left` over the keys; whole numbers of exactly that sum."""
        total = sum(self._shares[key].weight for key in keys)
        parts: list[tuple[K, int]] = []
        for key in keys:
            even = 1 / len(keys)
            portion = (even + self._shares[key].weight / total) / 2 if total > 0 else even
            parts.append((key, int(left * portion)))
        rounded_off = left - sum(part for _, part in parts)
        return [(key, part + (1 if index < rounded_off else 0)) for index, (key, part) in enumerate(parts)]
