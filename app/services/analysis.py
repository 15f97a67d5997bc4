"""Analyses: a clip, its features, and what the model predicts from each subset of its modalities."""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import time
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignmamba.modality import SUBSETS, Modality
from app.i18n.translate import _
from app.i18n.wording import DISPLAY_ORDER
from app.services import model
from app.services.errors import PlainError, StorageError
from extractors.media.container import LIMITS, Limits
from extractors.storage.scratch import private_folder

if TYPE_CHECKING:
    from alignmamba.evaluation.windows import Window
    from alignmamba.prediction import Alignment, Prediction, SegmentScore
    from alignmamba.predictor import Predictor
    from extractors.language.sentences import Sentence
    from extractors.schema import ClipFeatures, Turn
    from extractors.storage.parts import Parts
    from extractors.vision.stills import Moment

Span = tuple[float, float]  # seconds from and to
SINKHORN_BLUR = 0.01  # in units of the cost: near the exact plan, so that a map shows pairs and no haze
CLIP_FILE = "clip.bin"  # of every clip: nothing that a user chose reaches the file system

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip to analyse.

    Attributes:
        title: Shown on screen, untranslated.
        data: The file's bytes.
        mime: For the browser's player, as in "video/mp4".
        transcript: Typed by the user; None lets speech be recognised.
        synthetic: Whether the clip is computer-made.
        sample: Name of the shipped sample that it is; None for a user's own clip.
        audio_track: Which of its sound tracks is used, from 1; None for the one with the most speech.
        caption_track: Which of its caption tracks says the words, from 1; None for none of them.
        limits: What it may cost.
    """

    title: str
    data: bytes
    mime: str
    transcript: str | None = None
    synthetic: bool = False
    sample: str | None = None
    audio_track: int | None = None
    caption_track: int | None = None
    limits: Limits = LIMITS

    @functools.cached_property
    def content(self) -> tuple[str, str | None, int | None, int | None]:
        """Equal for clips whose features are equal: the same bytes with the same transcript and tracks."""
        return hashlib.sha256(self.data).hexdigest(), self.transcript, self.audio_track, self.caption_track


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """An analysed clip: features and predictions; toggling modalities only picks another prediction.

    Attributes:
        clip: What was analysed.
        features: What was extracted.
        checkpoint: Name of the model.
        predictions: One per subset of the modalities that the clip has; empty when it has none.
        predictor: Holds the clip, for later predictions.
        seconds: Wall-clock seconds from the start of the extraction to the last prediction.
        reused: Whether the features existed before: from earlier in the session, or precomputed for a sample.
        number: Unique among the analyses of this process.
        excluded: Spans of the clip, in seconds, that the features leave out.
        whole: The analysis of the whole clip, where some of it is excluded.
        charts: Charts that were shown, as `app.components.chart_cache` keeps them.
    """

    clip: Clip
    features: ClipFeatures
    checkpoint: str = model.CHECKPOINT.name
    predictions: dict[frozenset[Modality], Prediction]
    predictor: Predictor
    seconds: float
    reused: bool
    excluded: tuple[Span, ...] = ()
    whole: Analysis | None = None
    number: int = field(default_factory=itertools.count().__next__)
    charts: dict[Hashable, dict[str, Any]] = field(default_factory=dict, repr=False)
    _sinkhorn: dict[frozenset[Modality], dict[str, Alignment]] = field(default_factory=dict)
    _windows: dict[frozenset[Modality], list[Window]] = field(default_factory=dict)
    _sentences: dict[frozenset[Modality], list[SegmentScore | None]] = field(default_factory=dict)
    _turns: dict[frozenset[Modality], list[SegmentScore | None]] = field(default_factory=dict)
    _speakers: dict[frozenset[Modality], list[SegmentScore | None]] = field(default_factory=dict)
    _stills: dict[tuple[Moment, ...], list[bytes]] = field(default_factory=dict)
    _fitting: dict[str, ClipFeatures] = field(default_factory=dict)

    @functools.cached_property
    def parts(self) -> Parts:
        """The clip to take parts of, each described anew."""
        from extractors.storage.parts import Parts

        return Parts(self.features)

    @property
    def available(self) -> frozenset[Modality]:
        """Modalities that the clip has."""
        return max(self.predictions, key=len, default=frozenset())

    def document(self, used: Iterable[Modality] | None = None) -> dict[str, Any]:
        """Return the result as plain JSON types, one subset (by default the largest) in full."""
        from alignmamba.result import document

        digest = self.clip.content[0]
        described = {"title": self.clip.title, "sha256": digest, "bytes": len(self.clip.data)}
        columns = self.scored_sentences(self.available if used is None else frozenset(used))
        return document(
            self.features,
            self.predictions,
            used=used,
            sentences=[
                (sentence, [scores[place] for scores in columns.values()])
                for place, sentence in enumerate(self.sentences)
            ],
            clip={**described, "synthetic": self.clip.synthetic},
            checkpoint=self.checkpoint,
        )

    def over_time(self, used: frozenset[Modality]) -> list[Window]:
        """Return the scores of the clip's windows from a subset; computed once per subset."""
        from alignmamba.evaluation.windows import scores_over_time

        if used not in self._windows:
            self._windows[used] = scores_over_time(self.predictor, self.parts, used)
        return self._windows[used]

    @functools.cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """Sentences of the clip's words; none where nobody speaks."""
        from extractors.language.sentences import split

        return split(self.features.words)

    def sentence_scores(self, used: frozenset[Modality]) -> list[SegmentScore | None]:
        """Return the score of each sentence from a subset, None where it has nothing of it; once per subset."""
        from alignmamba.evaluation.segments import score_segments

        if used not in self._sentences:
            spans = [(sentence.start, sentence.end) for sentence in self.sentences]
            self._sentences[used] = score_segments(self.predictor, self.parts, spans, used)
        return self._sentences[used]

    def scored_sentences(self, used: frozenset[Modality]) -> dict[frozenset[Modality], list[SegmentScore | None]]:
        """Return the scores of each sentence from a subset, and from each of its modalities alone."""
        subsets = dict.fromkeys([used, *(frozenset({modality}) for modality in DISPLAY_ORDER if modality in used)])
        return {subset: self.sentence_scores(subset) for subset in subsets if subset}

    @functools.cached_property
    def turns(self) -> tuple[Turn, ...]:
        """Who speaks when; turns of nobody are words that could not be given to a speaker."""
        from extractors.language.sentences import turns

        return turns(self.sentences)

    @functools.cached_property
    def speakers(self) -> dict[str, tuple[Span, ...]]:
        """The turns of each speaker, in the order in which they begin; none where there are fewer than two."""
        found: dict[str, tuple[Span, ...]] = {}
        for turn in self.turns:
            if turn.speaker is not None:
                found[turn.speaker] = (*found.get(turn.speaker, ()), (turn.start, turn.end))
        return found if len(found) > 1 else {}

    def turn_scores(self, used: frozenset[Modality]) -> list[SegmentScore | None]:
        """Return the score of each turn from a subset, None where it has nothing of it; once per subset."""
        if used not in self._turns:
            spans = [(turn.speaker, [(turn.start, turn.end)]) for turn in self.turns]
            self._turns[used] = self.predictor.predict_many(self.parts.said(spans, self.speakers), used)
        return self._turns[used]

    def speaker_scores(self, used: frozenset[Modality]) -> list[SegmentScore | None]:
        """Return the score of all turns of each speaker together, from a subset; once per subset."""
        if used not in self._speakers:
            parts = self.parts.said(list(self.speakers.items()), self.speakers)
            self._speakers[used] = self.predictor.predict_many(parts, used)
        return self._speakers[used]

    def part_scores(self, used: frozenset[Modality], span: Span) -> tuple[SegmentScore | None, SegmentScore | None]:
        """Return the scores of a span of the clip alone, and of the clip without it; None where nothing is left."""
        alone, without = self.parts.between(*span), self.parts.without([span])
        inside, outside = self.predictor.predict_many([alone, without], used)
        return inside, outside

    def stills(self, moments: Sequence[Moment]) -> list[bytes]:
        """Return frames of the clip at some moments, as JPEGs; decoded once per choice of moments.

        Raises:
            PlainError: If the clip cannot be decoded.
        """
        from extractors.workers.client import MediaError, stills

        if (asked := tuple(moments)) not in self._stills:
            with on_disk(self.clip) as path:
                try:
                    self._stills[asked] = stills(path, asked, limits=self.clip.limits)
                except MediaError as error:
                    raise PlainError(error.message) from error
        return self._stills[asked]

    def distances(self) -> dict[str, float | None]:
        """Return the proxy A-distance of each transported modality to its anchor, in [0, 2]; None for too few steps."""
        from alignmamba.evaluation.distance import proxy_a_distance

        return {modality: proxy_a_distance(*pair) for modality, pair in self.predictor.transported().items()}

    def sinkhorn(self, used: frozenset[Modality]) -> dict[str, Alignment]:
        """Return the plans of the full transport problem for a subset; solved once per subset.

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


@contextmanager
def on_disk(clip: Clip) -> Iterator[Path]:
    """Write a clip into a private folder, which is removed at the end of the block, also after an error.

    Raises:
        StorageError: If it cannot be written.
    """
    with ExitStack() as stack:
        try:
            path = stack.enter_context(private_folder()) / CLIP_FILE
            path.write_bytes(clip.data)
        except OSError as error:
            log.error("a clip cannot be written: %s", error)
            raise StorageError from error
        yield path


def predict_all(
    clip: Clip,
    features: ClipFeatures,
    *,
    began: float,
    reused: bool,
    checkpoint: str = model.CHECKPOINT.name,
    known: dict[str, dict[Any, Any]] | None = None,
) -> Analysis:
    """Predict from every subset of the modalities that a clip's features have.

    Args:
        clip: That the features were extracted from.
        features: Of the clip.
        began: When the work for this clip began, by `time.perf_counter`.
        reused: Whether the features existed before.
        checkpoint: Name of the model.
        known: Of the same features and model, as `nothing_known` gives it; filled here and by the analysis.

    Raises:
        PlainError: If the model cannot be loaded, or was trained on other features.
    """
    predictor = model.load(checkpoint).fork()
    try:
        predictor.set_clip(features)
    except ValueError as error:
        raise PlainError(_("The trained model does not fit these features. {error}").format(error=error)) from error
    known = known or nothing_known()
    for subset in SUBSETS:
        if subset <= predictor.available and subset not in known["predictions"]:
            known["predictions"][subset] = predictor.predict(subset)
    return Analysis(
        clip=clip,
        features=features,
        checkpoint=checkpoint,
        predictor=predictor,
        seconds=time.perf_counter() - began,
        reused=reused,
        **known,
    )


def nothing_known() -> dict[str, dict[Any, Any]]:
    """Return empty caches of what an analysis computes by its own model, which analyses of equal features can share."""
    caches = [each.name for each in fields(Analysis) if each.default_factory is dict and each.name != "_fitting"]
    return {name: {} for name in ("predictions", *caches)}


def excluding(whole: Analysis, spans: Collection[Span]) -> Analysis:
    """Predict again from a clip without some spans; nothing is extracted again.

    Args:
        whole: Of the whole clip.
        spans: To exclude; with none the analysis of the whole clip comes back.

    Raises:
        PlainError: If nothing is left of the clip.
    """
    from extractors.messages import Message

    if not spans:
        return whole
    began = time.perf_counter()
    ordered = tuple(sorted(spans))
    left = whole.parts.without(ordered)
    note = Message("spans_excluded", {"count": len(ordered), "seconds": f"{_covered(ordered):.1f}"})
    analysis = predict_all(whole.clip, replace(left, notes=(*left.notes, note)), began=began, reused=True)
    if not analysis.predictions:
        raise PlainError(_("Nothing would be left of the clip to predict from."))
    return replace(analysis, excluded=ordered, whole=whole)


def renamed(analysis: Analysis, speaker: str, name: str) -> Analysis:
    """Give a speaker another name; who gets the name of another speaker becomes one with that one.

    Args:
        analysis: Of a clip in which the speaker has words.
        speaker: As the words name it.
        name: The new name.
    """
    words = tuple(replace(word, speaker=name) if word.speaker == speaker else word for word in analysis.features.words)
    whole = None if analysis.whole is None else renamed(analysis.whole, speaker, name)
    features = replace(analysis.features, words=words)
    # Scores of sentences and turns are made anew, as there are fewer of them where two speakers become one.
    return replace(analysis, features=features, whole=whole, _sentences={}, _turns={}, _speakers={})


def _covered(ordered: Sequence[Span]) -> float:
    """Return how many seconds sorted spans cover, each counted once where they overlap."""
    ends = itertools.accumulate((end for _start, end in ordered), max, initial=0.0)
    return sum(max(0.0, end - max(start, until)) for (start, end), until in zip(ordered, ends, strict=False))
