"""Progress bars for the `hook` of an extraction, on a terminal."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

BAR_FORMAT = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"
NAME_COLUMNS = 10  # of the step's name


class ProgressHook:
    """A hook that shows a bar per step of an extraction, inside a `with` statement.

    Nothing is shown where the stream is no terminal, so that logs stay clean.

    >>> with ProgressHook() as hook:
    ...     for second in range(3):
    ...         hook("video", second + 1, 3)  # as does extract("clip.mp4", hook=hook)

    Modelled on `pyannote.audio.pipelines.utils.hook.ProgressHook`.

    Args:
        transient: Whether the bars vanish at the end; else they stay as they were last.
        file: Where they are shown; standard error if not given.
    """

    def __init__(self, *, transient: bool = False, file: TextIO | None = None) -> None:
        self._transient = transient
        self._file = file
        self._lock = threading.Lock()  # a hook may be called from any thread
        self._bars: dict[str, tqdm] = {}

    def __enter__(self) -> ProgressHook:
        """Return the hook itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bars: from above, to leave them in order; from below, to clear them."""
        bars = list(self._bars.values())
        for bar in reversed(bars) if self._transient else bars:
            bar.close()
        self._bars.clear()

    def __call__(self, step: str, completed: int, total: int) -> None:
        """Show how far a step is.

        Args:
            step: Its name.
            completed: Parts done, of whatever unit.
            total: Parts in all; may change between calls.
        """
        with self._lock:
            bar = self._bars.get(step)
            if bar is None:
                bar = self._bars[step] = self._bar(step)
            bar.total = total
            bar.update(completed - bar.n)
            if completed == total:  # `update` shows it only when the last look was long ago
                bar.refresh()

    def _bar(self, step: str) -> tqdm:
        file = sys.stderr if self._file is None else self._file
        return tqdm(
            desc=f"{step:<{NAME_COLUMNS}}",
            total=1,
            bar_format=BAR_FORMAT,
            file=file,
            leave=not self._transient,
            disable=not file.isatty(),
        )
