"""How far a benchmark is, on stderr: a line that moves on a terminal, else a line every ten seconds."""

import sys
import time


class Steps:
    """`steps("rouge_score", 0.4)`: 40 % of this part is done. Prints the time that the part has left, by its speed so far."""

    def __init__(self) -> None:
        self._part, self._began, self._said = "", 0.0, 0.0

    def __call__(self, part: str, share: float = 0.0) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if new := part != self._part:
            self._part, self._began = part, now
        if not new and share < 1 and now - self._said < (0.2 if terminal else 10):
            return
        self._said = now
        left = f"{(now - self._began) * (1 - share) / share:.0f} s left" if share > 0 else "..."
        clear = "\r\033[K" if terminal else ""
        print(
            f"{clear}{part}: {share:.0%}, {left}",
            end="" if terminal and share < 1 else "\n",
            file=sys.stderr,
            flush=True,
        )
