"""Annotation files: written, opened again by the libraries and by second readers, and hostile ones refused in time."""

import csv
import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid as praatio
from pympi import Elan, Praat

from extractors.language.subtitles import parse
from extractors.storage.annotations import lines, openface, reading
from extractors.storage.annotations.elan import to_elan
from extractors.storage.annotations.textgrid import LONGEST_PART, to_textgrid
from extractors.storage.annotations.tiers import AnnotationError, Interval, Tier, apart
from extractors.storage.feature_files import load
from tests.paths import SAMPLES

HOSTILE = '<b>"好"</b> & \x00\u202e]]>'
TIERS = (
    Tier(
        name="words",
        intervals=(
            Interval(start=0.0, end=0.5, text=HOSTILE),
            Interval(start=0.4, end=1.25, text='say "yes"'),
            Interval(start=2.0, end=9.0, text="late"),
        ),
    ),
    Tier(name="score lav", intervals=(Interval(start=0.0, end=1.25, text="+1.50"),)),
)


def kept(tier, duration=4.0):
    return [(each.start, each.end, each.text) for each in apart(tier.intervals, duration=duration)]


def test_elan_is_opened_by_its_library(tmp_path):
    path = tmp_path / "tiers.eaf"
    path.write_bytes(to_elan(TIERS, duration=4.0, media='a "clip".mp4', mime="video/mp4"))
    opened = Elan.Eaf(str(path))
    assert list(opened.tiers) == ["words", "score lav"]
    found = [(start / 1000, end / 1000, text) for start, end, text in opened.get_annotation_data_for_tier("words")]
    assert sorted(found) == kept(TIERS[0])
    assert opened.get_linked_files()[0]["RELATIVE_MEDIA_URL"] == './a "clip".mp4'


def test_a_textgrid_is_opened_by_its_library_and_by_another(tmp_path):
    path = tmp_path / "tiers.TextGrid"
    path.write_bytes(to_textgrid(TIERS, duration=4.0))
    opened = praatio.openTextgrid(str(path), includeEmptyIntervals=False)
    assert opened.tierNames == ("words", "score lav")
    assert [tuple(entry) for entry in opened.getTier("words").entries] == kept(TIERS[0])
    second = Praat.TextGrid(str(path))
    assert [tier.name for tier in second.get_tiers()] == ["words", "score lav"]
    assert len(list(second.get_tier("words").get_intervals())) >= len(kept(TIERS[0]))


@pytest.mark.parametrize("write", [to_elan, to_textgrid])
def test_what_is_written_is_read_back(write):
    tiers = reading.read(write(TIERS, duration=4.0))
    assert [tier.name for tier in tiers] == ["words", "score lav"]
    assert [(each.start, each.end, each.text) for each in tiers[0].intervals] == kept(TIERS[0])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.builds(
            lambda start, length, text: Interval(start=start, end=start + length, text=text),
            st.floats(0, 20),
            st.floats(0, 5),
            st.text(max_size=20),
        ),
        max_size=8,
    )
)
def test_any_label_at_any_time_survives_both_formats(intervals):
    tier = Tier(name="any", intervals=tuple(intervals))
    expected = [each for each in kept(tier, 10.0) if each[2]]
    for write in (to_elan, to_textgrid):
        data = write([tier], duration=10.0)
        if not expected:
            with pytest.raises(AnnotationError):
                reading.words(reading.read(data)[0], duration=10.0)
            continue
        (found,) = reading.read(data)
        assert [(each.start, each.end) for each in found.intervals if each.text] == [each[:2] for each in expected]
        assert [each.text for each in found.intervals if each.text] == [each[2] for each in expected]


def test_an_elan_file_s_references_have_the_times_of_their_parents(tmp_path):
    eaf = Elan.Eaf()
    eaf.add_linguistic_type("child", constraints="Symbolic_Association", timealignable=False)
    eaf.add_tier("utterance")
    eaf.add_annotation("utterance", 500, 1500, "so good")
    eaf.add_tier("rating", ling="child", parent="utterance")
    eaf.add_ref_annotation("rating", "utterance", 1000, "+2")
    path = tmp_path / "parents.eaf"
    eaf.to_file(str(path))
    tiers = {tier.name: tier.intervals for tier in reading.read(path.read_bytes())}
    assert tiers["rating"] == (Interval(start=0.5, end=1.5, text="+2"),)


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<ANNOTATION_DOCUMENT>&x;</ANNOTATION_DOCUMENT>"""
GRID = b'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
CIRCLE = b"""<ANNOTATION_DOCUMENT xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="x" VERSION="3.0"><TIER TIER_ID="a"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a1"
 ANNOTATION_REF="a1"><ANNOTATION_VALUE>x</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
ELAN = (
    '<ANNOTATION_DOCUMENT xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x" '
    'VERSION="3.0">{}</ANNOTATION_DOCUMENT>'
)
ALIGNED = (
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{}" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">'
    "<ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
)
LATE = ELAN.format(
    f'<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="1"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="{"9" * 400}"/>'
    f'</TIME_ORDER><TIER TIER_ID="a">{ALIGNED.format("a1")}</TIER>'
).encode()
# A tier of the same name hides the one in which the parent is.
HIDDEN = ELAN.format(
    f'<TIER TIER_ID="a">{ALIGNED.format("a1")}</TIER><TIER TIER_ID="a"/><TIER TIER_ID="b"><ANNOTATION><REF_ANNOTATION '
    'ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>x</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>'
).encode()
MARKED = ELAN.format('<TIER TIER_ID="a' + "\u0301\u0327" * 100_000 + '"/>')
BAD = {
    "nothing": (b"", "annotation_unknown"),
    "text": (b"hello", "annotation_unknown"),
    "large": (b"<" * (reading.MAX_BYTES + 1), "annotation_too_large"),
    "no xml": (b"<a", "annotation_damaged"),
    "other xml": (b"<a/>", "annotation_damaged"),
    "no schema": (b"<ANNOTATION_DOCUMENT/>", "annotation_damaged"),
    "bomb": (BOMB, "annotation_entities"),
    "file": (OUTSIDE, "annotation_entities"),
    "circle": (CIRCLE, "annotation_empty"),
    "late": (LATE, "annotation_empty"),
    "hidden": (HIDDEN, "annotation_empty"),
    "marks": (MARKED.encode(), "annotation_empty"),
    "encoding": (b'<?xml version="1.0" encoding="xyz"?><a/>', "annotation_damaged"),
    "many elements": (b"<ANNOTATION_DOCUMENT>" + b"<a/>" * 300_000 + b"</ANNOTATION_DOCUMENT>", "annotation_too_many"),
    "grid head": (GRID, "annotation_damaged"),
    "grid json": (b'File type = {"start": 1}', "annotation_damaged"),
    "grid bytes": (GRID + b"\xff\xff", "annotation_damaged"),
    "grid part": (GRID + b"item [1]:\n" + b'text = "x' * LONGEST_PART, "annotation_damaged"),
    "grid quotes": (GRID + b"0\n1\n<exists>\n1\n" + b'"IntervalTier"\n"a"\n0\n1\n1\n0\n1\n' + b'"' * 900_001, "any"),
    "grid tiers": (GRID + b"0\n1\n" + b'"IntervalTier"' * 100_000, "any"),
    "grid long": (
        (GRID + b"xmin = 0\nxmax = 9\ntiers? <exists>\nsize = 1\nitem []:\nitem [1]:\n" + b'class = "IntervalTier"\n')
        + (b"intervals [1]:\n" + b'text = "x' * 400) * 450,
        "any",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_hostile_files_are_refused_in_time(name):
    data, code = BAD[name]
    began = time.process_time()
    with pytest.raises(AnnotationError) as caught:
        reading.read(data)
    assert code in ("any", caught.value.message.code)
    assert time.process_time() - began < 8


def test_a_tier_gives_words_with_times_within_the_clip():
    tier = Tier(
        name="t", intervals=(Interval(start=0.5, end=1.5, text="so good"), Interval(start=8.0, end=9.0, text="late"))
    )
    words = reading.words(tier, duration=5.0)
    assert [word.text for word in words] == ["so", "good"]
    assert words[0].start == 0.5
    assert words[-1].end == 1.5
    with pytest.raises(AnnotationError, match="nothing"):
        reading.words(tier, duration=0.1)


def test_labels_and_turns_are_one_line_each():
    hostile = Interval(start=0.0, end=1.0, text="a\tb\nc")
    assert lines.to_audacity([hostile]) == "0.000000\t1.000000\ta b c\n"
    (row,) = lines.to_rttm([hostile], file="x\ny").splitlines()
    assert row.split() == ["SPEAKER", "x_y", "1", "0.000", "1.000", "<NA>", "<NA>", "a_b_c", "<NA>", "<NA>"]


def test_scored_captions_are_read_as_captions_without_their_scores():
    cue = Interval(start=0.25, end=2.0, text="so <i>good</i> & fine")
    text = lines.to_scored_webvtt([(cue, "Ann", "+1.50, +0.20 / +2.00")])
    found = parse(text)
    assert [word.text for word in found.words] == ["so", "<i>good</i>", "fine"]
    assert {word.speaker for word in found.words} == {"Ann"}


def test_the_face_has_openface_s_columns():
    features = load(SAMPLES / "positive.safetensors")
    rows = list(csv.DictReader(io.StringIO(openface.to_openface(features))))
    assert len(rows) == len(features.video.start)
    column = features.schema.video.columns.index("jawOpen")
    found = [float(row["AU26_r"] or "nan") for row in rows]
    expected = np.where(features.video.valid, openface.AU_SCALE * features.video.values[:, column], np.nan)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert {row["success"] for row in rows} <= {"0", "1"}
    assert "AU23" in openface.NOTE
    assert "gaze" in openface.NOTE
