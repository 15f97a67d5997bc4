"""What outlives one run of the page: the loaded model, a running job, a visitor's last result."""

from __future__ import annotations

import hashlib
import itertools
import logging
import secrets
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st

from alignmamba.modality import SUBSETS, Modality
from app import wording
from app.told import told
from app.translate import N_, _

if TYPE_CHECKING:
    from alignmamba.predictor import Alignment, Prediction, Predictor
    from alignmamba.windows import Window
    from extractors.schema import ClipFeatures
    from extractors.stills import Moment

CHECKPOINT = Path(__file__).resolve().parents[1] / "checkpoints" / "alignmamba-open"
JOBS_AT_ONCE = 2  # more would only slow each other down and add up their memory
KEPT_CLIPS = 4  # whose features a visitor keeps; about a megabyte each
SINKHORN_BLUR = 0.01  # in units of the cost: near the exact plan, so that a map shows pairs and no haze
CORRECTED = N_("The words were corrected by hand; words that stayed kept their times, others share those they replace.")
# One name for every clip on disk: nothing that a visitor chose reaches the file system.
CLIP_FILE = "clip.bin"

log = logging.getLogger(__name__)


class PlainError(ValueError):
    """A foreseen failure; the message is the sentence for the visitor."""


class AbandonedError(Exception):
    """Stops an extraction whose visitor has left or asked for something else."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is to be analysed.

    Attributes:
        title: Shown on screen, untranslated.
        data: The file's bytes.
        mime: For the browser's player, as in "video/mp4".
        transcript: Typed by the visitor; None lets speech be recognised.
        synthetic: Whether the clip is computer-made.
        sample: Name of the shipped sample that it is; None for a visitor's own.
    """

    title: str
    data: bytes
    mime: str
    transcript: str | None = None
    synthetic: bool = False
    sample: str | None = None

    @property
    def content(self) -> tuple[str, str | None]:
        """Equal for clips whose features are equal: the same bytes with the same transcript."""
        return hashlib.sha256(self.data).hexdigest(), self.transcript


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything the page shows of a clip; toggling modalities only picks another prediction.

    Attributes:
        clip: What was analysed.
        features: What was extracted.
        predictions: One per subset of the modalities that the clip has; empty when it has none.
        predictor: Holds the clip, for what is asked later.
        seconds: Wall-clock seconds from the start of the extraction to the last prediction.
        again: Whether the features were there before: from earlier in the visit, or made beforehand for a sample.
        number: Tells the analyses of this process apart.
        drawn: Charts that were shown, as `app.drawn` keeps them.
    """

    clip: Clip
    features: ClipFeatures
    predictions: dict[frozenset[Modality], Prediction]
    predictor: Predictor
    seconds: float
    again: bool
    number: int = field(default_factory=itertools.count().__next__)
    drawn: dict[Hashable, dict[str, Any]] = field(default_factory=dict, repr=False)
    _sinkhorn: dict[frozenset[Modality], dict[str, Alignment]] = field(default_factory=dict)
    _windows: dict[frozenset[Modality], list[Window]] = field(default_factory=dict)
    _stills: dict[tuple[Moment, ...], list[bytes]] = field(default_factory=dict)

    @property
    def available(self) -> frozenset[Modality]:
        """Modalities that the clip has."""
        return max(self.predictions, key=len, default=frozenset())

    def document(self, used: Iterable[Modality] | None = None) -> dict[str, Any]:
        """Return the result as plain JSON types, one subset (by default the largest) in full."""
        from alignmamba.result import document

        digest, _transcript = self.clip.content
        described = {"title": self.clip.title, "sha256": digest, "bytes": len(self.clip.data)}
        return document(
            self.features,
            self.predictions,
            used=used,
            clip={**described, "synthetic": self.clip.synthetic},
            checkpoint=CHECKPOINT.name,
        )

    def over_time(self, used: frozenset[Modality]) -> list[Window]:
        """Scores of the clip's windows by a subset, found when first asked for."""
        from alignmamba.windows import scores_over_time

        if used not in self._windows:
            self._windows[used] = scores_over_time(self.predictor, self.features, used)
        return self._windows[used]

    def stills(self, moments: Sequence[Moment]) -> list[bytes]:
        """Pictures of the clip at some moments, as JPEGs; made when first asked for.

        Raises:
            PlainError: If the clip cannot be decoded.
        """
        from extractors.isolate import MediaError, stills

        if (asked := tuple(moments)) not in self._stills:
            with on_disk(self.clip) as path:
                try:
                    self._stills[asked] = stills(path, asked)
                except MediaError as error:
                    raise PlainError(error.sentence) from error
        return self._stills[asked]

    def distances(self) -> dict[str, float | None]:
        """Proxy A-distance of each carried modality to its anchor, in [0, 2]; None where there are too few steps."""
        from alignmamba.distance import proxy_a_distance

        return {modality: proxy_a_distance(*pair) for modality, pair in self.predictor.carried().items()}

    def sinkhorn(self, used: frozenset[Modality]) -> dict[str, Alignment]:
        """Plans of the full transport problem for a subset, solved when first asked for.

        Raises:
            PlainError: If the clip is too long for it.
        """
        if used not in self._sinkhorn:
            try:
                self._sinkhorn[used] = self.predictor.sinkhorn(used, blur=SINKHORN_BLUR)
            except ValueError as error:
                raise PlainError(
                    _("This clip is too long for the full transport problem. {error}.").format(error=error)
                ) from error
        return self._sinkhorn[used]


class Kept:
    """Features of one visitor's last few clips, so that asking again need not extract again; never on disk."""

    def __init__(self) -> None:
        self._features: OrderedDict[tuple[str, str | None], ClipFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._features)

    def get(self, clip: Clip) -> ClipFeatures | None:
        """Return the features of a clip of this content, if they are still kept."""
        features = self._features.get(clip.content)
        if features is not None:
            self._features.move_to_end(clip.content)
        return features

    def keep(self, clip: Clip, features: ClipFeatures) -> None:
        """Keep a clip's features; the clip asked for longest ago makes room."""
        self._features[clip.content] = features
        while len(self._features) > KEPT_CLIPS:
            self._features.popitem(last=False)


@dataclass
class Session:
    """One visitor's state.

    Attributes:
        greeted: Whether a first result was shown.
        analysis: The last good result.
        problem: What went wrong since.
        remark: What else is to be said of the result.
        kept: Features that may be asked for again.
    """

    greeted: bool = False
    analysis: Analysis | None = None
    problem: str | None = None
    remark: str | None = None
    kept: Kept = field(default_factory=Kept)


class Progress(NamedTuple):
    """A report of one extraction step."""

    step: str
    completed: float
    total: float


class Job:
    """An extraction in a process of its own; its reports wait in a queue until the script thread draws them."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._progress: SimpleQueue[Progress] = SimpleQueue()
        self._abandoned = threading.Event()
        self.future: Future[Analysis] = workers().submit(self._run)

    def reports(self) -> Iterator[Progress]:
        """Take the reports that have come in since the last call."""
        while not self._progress.empty():
            yield self._progress.get()

    def abandon(self) -> None:
        """Stop the extraction; without effect on a job that has ended."""
        self._abandoned.set()
        self.future.cancel()

    def _run(self) -> Analysis:
        began = time.perf_counter()
        return judge(self.clip, self._extract(), began=began, again=False)

    def _extract(self) -> ClipFeatures:
        # Imported here, not above: these pull in decoders, and the page must show before they have loaded.
        from extractors.isolate import AssetError, CancelledError, MediaError, TranscriptError, extract

        with on_disk(self.clip) as path:
            try:
                return extract(
                    path,
                    transcript=self.clip.transcript,
                    hook=self._report,
                    encoder=model().encoder,
                    cancel=self._abandoned,
                )
            except CancelledError as error:
                raise AbandonedError from error
            except MediaError as error:
                raise PlainError(error.sentence) from error
            except (TranscriptError, AssetError) as error:
                raise PlainError(str(error)) from error

    def _report(self, step: str, completed: float, total: float) -> None:
        self._progress.put(Progress(step, completed, total))


class Correction(Job):
    """Reads a corrected transcript; voice and face stay as they were measured."""

    def __init__(self, analysis: Analysis, text: str) -> None:
        self._before, self._text = analysis.features, text
        super().__init__(analysis.clip)

    def _extract(self) -> ClipFeatures:
        from extractors.isolate import AssetError, CancelledError, TranscriptError, reread
        from extractors.transcript import edit

        before, began = self._before, time.perf_counter()
        try:
            words = edit(before.words, self._text, duration=before.duration)
            every = [np.ones(len(words), bool)]
            (language,) = reread(words, every, encoder=model().encoder, hook=self._report, cancel=self._abandoned)
        except CancelledError as error:
            raise AbandonedError from error
        except (TranscriptError, AssetError) as error:
            raise PlainError(str(error)) from error
        took = {"language": time.perf_counter() - began}
        return replace(
            before,
            language=language,
            words=words,
            transcript_source="given",
            notes=tuple(dict.fromkeys((*before.notes, CORRECTED))),
            step_seconds={**before.step_seconds, **took},
        )


@contextmanager
def on_disk(clip: Clip) -> Iterator[Path]:
    """Write a clip into a folder that only this user may read, and that goes away however the work with it ends."""
    with tempfile.TemporaryDirectory(prefix="alignmamba-") as folder:
        path = Path(folder) / CLIP_FILE
        path.write_bytes(clip.data)
        yield path


def judge(clip: Clip, features: ClipFeatures, *, began: float, again: bool) -> Analysis:
    """Predict from every subset of the modalities that a clip's features have.

    Args:
        clip: What they were extracted from.
        features: Of the clip.
        began: When the visitor's waiting began, by `time.perf_counter`.
        again: Whether the features were there before.

    Raises:
        PlainError: If the model cannot be loaded, or was trained on other features.
    """
    predictor = model().fork()
    try:
        predictor.set_clip(features)
    except ValueError as error:
        raise PlainError(_("The trained model does not fit these features. {error}").format(error=error)) from error
    subsets = [subset for subset in SUBSETS if subset <= predictor.available]
    predictions = {subset: predictor.predict(subset) for subset in subsets}
    return Analysis(
        clip=clip,
        features=features,
        predictions=predictions,
        predictor=predictor,
        seconds=time.perf_counter() - began,
        again=again,
    )


@st.cache_resource(show_spinner=False)
def workers() -> ThreadPoolExecutor:
    """Return the threads that every visitor's jobs share; a job beyond `JOBS_AT_ONCE` waits for its turn."""
    return ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix="analysis")


@st.cache_resource(show_spinner=False)
def model() -> Predictor:
    """Return the trained model, which all visitors share and nobody changes: fork it to set a clip.

    Raises:
        PlainError: If the checkpoint cannot be used.
    """
    from alignmamba.predictor import Predictor

    try:
        return Predictor.from_pretrained(CHECKPOINT)
    except ValueError as error:
        raise PlainError(_("The trained model could not be loaded. {error}").format(error=error)) from error


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Load every model in the background, once per process, so that the first visitor's clip does not wait for it."""
    thread = threading.Thread(target=_load_models, name="warm-up", daemon=True)
    thread.start()
    return thread


def _load_models() -> None:
    from extractors.isolate import WorkerError, warm

    try:
        warm(encoder=model().encoder)
    except (ValueError, WorkerError) as error:
        # No visitor waits for this thread; whoever analyses a clip meets the same sentence on screen.
        log.warning("models are not ready: %s", error)


def session() -> Session:
    """Return this visitor's state."""
    return st.session_state.setdefault("session", Session())


def sentence(error: Exception) -> str:
    """Turn an error into one sentence for the screen; an unforeseen one goes to the log under an id."""
    if isinstance(error, PlainError):
        return told(str(error))
    code = secrets.token_hex(3)
    log.error("error %s", code, exc_info=error)
    return _(
        "Something went wrong that should not have. The server's log has the details under {code}; please try again."
    ).format(code=code)


@contextmanager
def plain_sentences() -> Iterator[None]:
    """Show any error of a part of the page as a sentence, and let the rest work on."""
    try:
        yield
    except Exception as error:
        # Streamlit's own control flow is no Exception and passes through.
        st.error(wording.plain(sentence(error)), icon=":material/error:")
