"""Counts messages to the last one, and says what they took. Standard library only: programs of every client use it."""

import json
import sys
import time


class Tally:
    """Wall and processor time from the first message to the last."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.seen = 0
        self._begun = (0.0, 0.0)

    def begin(self) -> None:
        """The clocks start now."""
        self._begun = (time.perf_counter(), time.process_time())

    def count(self) -> bool:
        """One more; True when it was the last."""
        if not self.seen:
            self.begin()
        self.seen += 1
        return self.seen == self.messages

    def report(self) -> None:
        """Write the line that the benchmark reads."""
        wall_s, cpu_s = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        sys.stdout.write(json.dumps({"messages": self.seen, "wall_s": wall_s, "cpu_s": cpu_s}) + "\n")
        sys.stdout.flush()
