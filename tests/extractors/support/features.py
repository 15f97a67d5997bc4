"""Features made for tests."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from extractors.language.transcript import Transcript
from extractors.messages import TEMPLATES, Message, placeholders
from extractors.pipeline import SCHEMA
from extractors.schema import (
    FACE_BOX,
    MODALITY_NAMES,
    ClipFeatures,
    FeatureSchema,
    ModalityFeatures,
    ModalitySchema,
    Track,
    Word,
)

SPOKEN = Transcript(
    words=(Word(text="lovely", start=0.25, end=0.75),), source="given", notes=(Message("words_corrected"),)
)
MOMENTS = st.floats(0, 1e4)


def part(steps, dim, seed):
    """Random steps, every third invalid."""
    values = np.random.default_rng(seed).normal(size=(steps, dim)).astype(np.float32)
    valid = np.arange(steps) % 3 != 2
    start = np.arange(steps) / 7  # no short decimals
    return ModalityFeatures(values=values * valid[:, None], start=start, end=start + 1 / 7, valid=valid)


def clip(steps=5, texts=("one", "=two", "drei,\n“4”"), seed=0, **changes):
    words = tuple(Word(text=text, start=index / 7, end=(index + 1) / 7) for index, text in enumerate(texts))
    language = part(len(words), 384, seed + 2) if words else ModalityFeatures.missing(Message("no_speech"), 384)
    schema = changes.get("schema", SCHEMA)
    fields = {
        "audio": part(steps, schema.audio.dim, seed),
        "video": part(steps, schema.video.dim, seed + 1),
        "language": language,
        "words": words,
        "duration": 1.1,
        "schema": SCHEMA,
        "transcript_source": "given" if words else "none",
        "notes": (Message("subtitles_left_out", {"count": 2}),),
        "step_seconds": MappingProxyType({"voice": 0.1}),
        "tracks": (Track(name="F0", unit="Hz", seconds=np.arange(3) / 7, values=np.array([np.nan, 110.5, 1 / 3])),),
    }
    return ClipFeatures(**{**fields, **changes})


def assert_same(first, second):
    for name in MODALITY_NAMES:
        one, two = first.modality(name), second.modality(name)
        for array in ("values", "start", "end", "valid"):
            assert getattr(one, array).dtype == getattr(two, array).dtype
            assert np.array_equal(getattr(one, array), getattr(two, array))
        assert one.absent == two.absent
    for name in ("words", "duration", "schema", "transcript_source", "notes", "step_seconds"):
        assert getattr(first, name) == getattr(second, name)
    assert (first.outlines is None) == (second.outlines is None)
    assert first.outlines is None or np.array_equal(first.outlines, second.outlines)
    assert len(first.tracks) == len(second.tracks)
    for one, two in zip(first.tracks, second.tracks, strict=True):
        assert (one.name, one.unit) == (two.name, two.unit)
        assert np.array_equal(one.seconds, two.seconds) and np.array_equal(one.values, two.values, equal_nan=True)


def with_face(made, *, points=3, seed=0):
    """Return features whose tracks say where a face is, with its outlines."""
    random, seconds = np.random.default_rng(seed), made.video.start
    boxes = random.uniform(0.1, 0.4, (4, len(seconds)))
    boxes[:, 1::3] = np.nan
    tracks = [Track(name=name, unit="", seconds=seconds, values=row) for name, row in zip(FACE_BOX, boxes, strict=True)]
    outlines = random.integers(0, 256, (len(seconds), points, 2)).astype(np.uint8)
    return replace(made, tracks=(*made.tracks, *tracks), outlines=outlines)


@st.composite
def any_message(draw):
    """The fields of any message."""
    code = draw(st.sampled_from(sorted(TEMPLATES)))
    values = st.text() | st.integers() | st.floats(allow_nan=False)
    return {"code": code, "values": {name: draw(values) for name in placeholders(TEMPLATES[code])}}


@st.composite
def any_part(draw, dim, steps):
    """The fields of any features that a modality can have."""
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    valid = draw(npst.arrays(bool, steps))
    values = draw(npst.arrays(np.float32, (steps, dim), elements=numbers))
    start = np.array(sorted(draw(st.lists(MOMENTS, min_size=steps, max_size=steps))), float)
    return {
        "values": np.where(valid[:, None], values, np.float32(0)),
        "start": start,
        "end": start + draw(npst.arrays(np.float64, steps, elements=st.floats(0, 9))),
        "valid": valid,
        "absent": None if valid.any() else Message(**draw(any_message())),
    }


@st.composite
def any_modality(draw):
    """The fields of any modality's schema."""
    dim = draw(st.integers(1, 4))
    return {
        "dim": dim,
        "rate": draw(st.none() | st.floats(0.1, 100)),
        "extractor": draw(st.text()),
        "sha256": draw(st.none() | st.text()),
        "columns": draw(st.sampled_from([(), tuple(f"c{index}" for index in range(dim))])),
    }


@st.composite
def any_track(draw, name):
    """The fields of any curve."""
    values = draw(st.lists(st.floats(allow_infinity=False), max_size=5))
    return {
        "name": name,
        "unit": draw(st.text()),
        "seconds": np.arange(len(values)) / 7,
        "values": np.array(values, float),
    }


@st.composite
def any_features(draw):
    """A function that makes any features that a clip can have, of any schema.

    They are made by the test: type checks draw at random, which nothing inside a strategy may do.
    """
    schemas = {name: draw(any_modality()) for name in MODALITY_NAMES}
    parts = {name: draw(any_part(schemas[name]["dim"], draw(st.integers(0, 4)))) for name in MODALITY_NAMES}
    said = [(draw(st.text()), draw(st.floats(0, 9)), draw(st.floats(9, 99))) for _ in parts["language"]["start"]]
    version = draw(st.integers(1, 9))
    tracks = [draw(any_track(name)) for name in draw(st.lists(st.text(), max_size=3, unique=True))]
    rest = {
        "duration": draw(MOMENTS),
        "transcript_source": draw(st.sampled_from(["given", "recognised", "none"])),
        "notes": tuple(Message(**fields) for fields in draw(st.lists(any_message(), max_size=3))),
        "step_seconds": MappingProxyType(draw(st.dictionaries(st.text(), MOMENTS, max_size=3))),
    }

    def make():
        modalities = {name: ModalitySchema(**fields) for name, fields in schemas.items()}
        return ClipFeatures(
            **{name: ModalityFeatures(**fields) for name, fields in parts.items()},
            schema=FeatureSchema(**modalities, version=version),
            words=tuple(Word(text=text, start=start, end=end) for text, start, end in said),
            tracks=tuple(Track(**fields) for fields in tracks),
            **rest,
        )

    return make
