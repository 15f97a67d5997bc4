"""Jobs: work on clips in worker processes, whose progress a page shows."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

import numpy as np
import streamlit as st

from app.i18n.translate import SOURCE, spoken_in
from app.services import errors, model
from app.services.analysis import Analysis, Clip, on_disk, predict_all
from app.services.errors import AbandonedError, PlainError
from extractors.messages import Message
from extractors.workers.fair_queue import FairQueue

if TYPE_CHECKING:
    from extractors.schema import ClipFeatures, Word
    from extractors.vision.overlay.plan import Overlay
    from extractors.workers.client import Overlaid

Result = TypeVar("Result")

JOBS_AT_ONCE = 2  # more would slow each other down and add up their memory
WAITING, WAITING_PER_OWNER = 32, 16  # jobs in the queue
STOP_SECONDS = 10.0  # until abandoned jobs must have ended
CORRECTED, FROM_TIER = Message("words_corrected"), Message("words_from_tier")


log = logging.getLogger(__name__)
_works: WeakSet[Work[Any]] = WeakSet()


class Progress(NamedTuple):
    """The progress of one step."""

    step: str
    completed: float
    total: float


class Work(ABC, Generic[Result]):
    """Work in a worker process; its progress waits in a queue until the page's script shows it.

    Args:
        owner: Session or client, which waits its turn among the others.

    Raises:
        FullError: If too much work waits already.
    """

    def __init__(self, *, owner: Hashable) -> None:
        self._progress: SimpleQueue[Progress] = SimpleQueue()
        self._abandoned = threading.Event()
        self.future: Future[Result] = queue().submit(self._run, owner=owner)
        _works.add(self)

    @property
    def place(self) -> int:
        """Place among what waits, from 1; 0 once it does not wait."""
        return queue().place(self.future)

    def reports(self) -> Iterator[Progress]:
        """Return the progress since the last call."""
        while not self._progress.empty():
            yield self._progress.get()

    def abandon(self) -> None:
        """Stop the work; without effect once it has ended."""
        self._abandoned.set()
        self.future.cancel()

    @abstractmethod
    def _run(self) -> Result:
        """Do the work, in a thread that belongs to no session."""

    def _report(self, step: str, completed: float, total: float) -> None:
        self._progress.put(Progress(step, completed, total))


class Job(Work[Analysis]):
    """An analysis of a clip.

    Args:
        clip: To analyse.
        owner: As in `Work`.
        checkpoint: Name of the model that predicts.

    Raises:
        FullError: As `Work`.
    """

    extracts = True  # every modality of the clip, as it is

    def __init__(self, clip: Clip, *, owner: Hashable, checkpoint: str = model.CHECKPOINT.name) -> None:
        self.clip, self._checkpoint = clip, checkpoint
        super().__init__(owner=owner)

    def _run(self) -> Analysis:
        began = time.perf_counter()
        # Messages are translated where they are shown; a worker thread belongs to no session.
        with spoken_in(SOURCE):
            features = self._extract()
            return predict_all(self.clip, features, began=began, reused=False, checkpoint=self._checkpoint)

    def _extract(self) -> ClipFeatures:
        # Imported here, not above: these pull in decoders, and the page must show before they have loaded.
        from extractors.workers.client import Budget, extract

        model.wait_until_warm(self._abandoned)
        predictor = model.load(self._checkpoint)
        with on_disk(self.clip) as path, plain_failures():
            return extract(
                path,
                transcript=self.clip.transcript,
                audio_track=self.clip.audio_track,
                caption_track=self.clip.caption_track,
                hook=self._report,
                limits=self.clip.limits,
                encoder=predictor.encoder,
                feature_set=model.feature_set(predictor),
                budget=Budget.of(self.clip.limits.seconds),
                cancel=self._abandoned,
            )


class Correction(Job):
    """An analysis with a corrected transcript; only the words are encoded again."""

    extracts = False
    note = CORRECTED

    def __init__(self, analysis: Analysis, text: str, *, owner: Hashable) -> None:
        self._before, self._text = analysis.features, text
        super().__init__(analysis.clip, owner=owner)

    def _words(self) -> tuple[Word, ...]:
        from extractors.language.transcript import edit

        return edit(self._before.words, self._text, duration=self._before.duration)

    def _extract(self) -> ClipFeatures:
        from extractors.language.languages import MOST, foreign
        from extractors.workers.client import AssetError, CancelledError, TranscriptError, reread

        before, began = self._before, time.perf_counter()
        try:
            words = self._words()
            found = foreign(" ".join(word.text for word in words), encoder=model.default().encoder)
            if found is not None and found.share >= MOST:
                raise TranscriptError(Message("words_foreign", {"language": found.language}))
            every = [np.ones(len(words), bool)]
            (language,) = reread(
                words, every, encoder=model.default().encoder, hook=self._report, cancel=self._abandoned
            )
        except CancelledError as error:
            raise AbandonedError from error
        except (TranscriptError, AssetError) as error:
            raise PlainError(error.message) from error
        took = {"language": time.perf_counter() - began}
        return replace(
            before,
            language=language,
            words=words,
            transcript_source="given",
            notes=tuple(dict.fromkeys((*before.notes, self.note))),
            step_seconds={**before.step_seconds, **took},
        )


class Retelling(Correction):
    """An analysis with other words whose times are known, as those of an annotation file."""

    note = FROM_TIER

    def __init__(self, analysis: Analysis, words: tuple[Word, ...], *, owner: Hashable) -> None:
        self._said = words
        super().__init__(analysis, "", owner=owner)

    def _words(self) -> tuple[Word, ...]:
        return self._said


class Overlaying(Work["Overlaid"]):
    """A clip written again with its overlay.

    Args:
        clip: To write.
        overlay: What is drawn over it.
        audio_track: Which of its sound tracks is heard, from 1; None for the one that the file prefers.
        owner: As in `Work`.

    Raises:
        FullError: As `Work`.
    """

    def __init__(self, clip: Clip, overlay: Overlay, *, audio_track: int | None, owner: Hashable) -> None:
        self._clip, self._overlay, self._audio_track = clip, overlay, audio_track
        super().__init__(owner=owner)

    def _run(self) -> Overlaid:
        from extractors.workers.client import Budget, overlaid

        with spoken_in(SOURCE), on_disk(self._clip) as path, plain_failures():
            return overlaid(
                path,
                self._overlay,
                audio_track=self._audio_track,
                limits=self._clip.limits,
                hook=self._report,
                budget=Budget.of(self._clip.limits.seconds),
                cancel=self._abandoned,
            )


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn what a worker process may raise into errors of the app."""
    from extractors.workers.client import (
        AssetError,
        CancelledError,
        MediaError,
        StorageError,
        TranscriptError,
        UnforeseenError,
        WorkerError,
    )

    try:
        yield
    except CancelledError as error:
        raise AbandonedError from error
    except (MediaError, TranscriptError, AssetError) as error:
        raise PlainError(error.message) from error
    except StorageError as error:
        log.error("%s", error)
        raise errors.StorageError from error
    except UnforeseenError:
        raise
    except WorkerError as error:
        log.error("%s", error)
        raise errors.NotStartedError from error


@st.cache_resource(show_spinner=False)
def queue() -> FairQueue[Any]:
    """Return the queue that the work of all sessions and clients shares."""
    return FairQueue(threads=JOBS_AT_ONCE, waiting=WAITING, per_owner=WAITING_PER_OWNER)


def stop_all() -> None:
    """Abandon all work and wait until it has removed its clips, at the end of the server."""
    running = list(_works)
    for work in running:
        work.abandon()
    wait([work.future for work in running], timeout=STOP_SECONDS)
