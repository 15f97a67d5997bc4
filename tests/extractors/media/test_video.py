from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.media.probe import probe
from extractors.media.video import GRID_TOLERANCE, decode_frames, on_grid
from tests.extractors.support.clips import CODECS, every, grey, make_clip, tone

FPS = 25  # of clips made here
RATE = 10.0  # frames per second that are decoded

rates = st.one_of(st.sampled_from([1.0, 5.0, 10.0, 25.0]), st.floats(0.5, 60.0))


def rising(seconds, *, fps=FPS):
    """Ever brighter frames, so that each shows its place."""
    return [(k / fps, grey(20 + 4 * k)) for k in range(round(seconds * fps))]


def levels(path, rate=RATE):
    return [(seconds, float(frame.mean())) for seconds, frame in decode_frames(path, rate)]


def decoded(path):
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
        (".mkv", "libx264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
        (".flv", "libx264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
        (".ts", "libx264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
        (".mov", "mpeg4", {"bf": "2", "qmax": "2", "b": "8000000"}),
        (".ts", "mpeg2video", {"bf": "2", "qmax": "2", "b": "8000000"}),
        (".mpg", "mpeg1video", {"bf": "2", "qmax": "2", "b": "8000000"}),
    ],
)
def test_frames_are_shown_in_order_though_sent_out_of_order(tmp_path, suffix, codec, options):
    path = make_clip(tmp_path / f"clip{suffix}", frames=rising(2), codec=codec, options=options)
    kinds = [av.video.frame.PictureType(frame.pict_type).name for frame in decoded(path)]
    assert kinds.count("B") > len(kinds) / 3
    got = levels(path, float(FPS))
    assert np.allclose([seconds for seconds, _ in got], np.arange(50) / FPS, atol=2e-3)
    assert np.allclose([level for _, level in got], 20 + 4 * np.arange(50), atol=3)
    assert (np.diff([level for _, level in got]) > 0).all()


@pytest.mark.parametrize("mirror", ["", "left-right", "up-down"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_and_mirror_are_applied(tmp_path, degrees, mirror):
    stored = grey(0)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = 250, 170, 90  # four corners, four levels

    def turn(video):
        video.set_display_rotation(degrees, hflip=mirror == "left-right", vflip=mirror == "up-down")

    path = make_clip(tmp_path / "clip.mp4", frames=every(0.2, stored), options={"crf": "1"}, set_up=turn)
    expected = np.rot90(stored, degrees // 90)
    expected = {"": expected, "left-right": expected[:, ::-1], "up-down": expected[::-1]}[mirror]
    (_, frame), *_ = decode_frames(path, RATE)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 4
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    if not mirror:
        assert info.rotation == degrees


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        (".mp4", "libx264", "yuv420p10le"),
        (".mkv", "libx265", "yuv420p10le"),
        (".mov", "prores_ks", "yuv422p10le"),
        (".mkv", "ffv1", "yuv444p16le"),
        (".mkv", "ffv1", "gray"),
        (".mkv", "ffv1", "bgra"),
        (".mov", "libx264", "yuvj420p"),  # full range
    ],
)
def test_every_depth_and_layout_becomes_the_same_rgb(tmp_path, suffix, codec, pixel_format):
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    shown = grey(60)
    shown[:24] = 180
    path = make_clip(
        tmp_path / f"clip{suffix}",
        frames=every(0.2, shown),
        codec=codec,
        pixel_format=pixel_format,
        options={"crf": "1", **quiet} if "264" in codec else quiet,
    )
    assert {frame.format.name for frame in decoded(path)} == {pixel_format}
    (_, frame), *_ = decode_frames(path, RATE)
    assert frame.dtype == np.uint8
    assert np.abs(frame[:20].astype(int) - 180).max() <= 6 and np.abs(frame[28:].astype(int) - 60).max() <= 6


def comb_teeth(frame):
    """How much every line differs from its neighbours: high where two moments lie in one frame."""
    light = frame[..., 0].astype(int)
    return np.abs(2 * light[1:-1] - light[:-2] - light[2:]).mean()


def two_moments(k, *, width=128, height=96):
    """A bar that moves on between the fields."""
    frame = grey(30, width=width, height=height)
    for field in (0, 1):
        left = 8 + 3 * (2 * k + field)
        frame[field::2, left : left + 16] = 220
    return frame


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"x264-params": "tff=1", "crf": "5"}),
        (".mkv", "libx264", {"x264-params": "tff=1", "crf": "5"}),
        (".mpg", "mpeg2video", {"flags": "+ildct+ilme", "b": "4000000"}),
    ],
)
def test_fields_of_two_moments_become_one_frame(tmp_path, suffix, codec, options):
    frames = [(k / FPS, two_moments(k)) for k in range(12)]
    path = make_clip(tmp_path / f"clip{suffix}", frames=frames, codec=codec, options=options)
    assert all(frame.interlaced_frame for frame in decoded(path))
    got = list(decode_frames(path, float(FPS)))
    assert np.allclose([seconds for seconds, _ in got], np.arange(12) / FPS, atol=2e-3)
    for k, (_, frame) in enumerate(got):
        assert comb_teeth(frame) < 0.1 * comb_teeth(two_moments(k))
        bar = np.flatnonzero(frame[48, :, 0] > 125)
        assert 8 + 6 * k - 2 <= bar[0] <= 8 + 6 * k + 5  # where the bar is at the time of either field


def test_interlaced_clips_keep_rotation_and_detail(tmp_path):
    stored = grey(0)
    stored[:, :32] = 250  # does not move, so nothing is lost

    def turn(video):
        video.set_display_rotation(90)

    options = {"x264-params": "tff=1", "crf": "1"}
    path = make_clip(tmp_path / "clip.mp4", frames=every(0.4, stored), options=options, set_up=turn)
    for _, frame in decode_frames(path, RATE):
        assert np.abs(frame.astype(int) - np.rot90(stored)).mean() < 4


def test_progressive_then_interlaced_then_of_another_size(tmp_path):
    parts = [
        (grey(50), {}),
        (grey(100), {"x264-params": "tff=1"}),
        (grey(150, width=128, height=96), {"x264-params": "tff=1"}),
        (grey(200, width=128, height=96), {}),
    ]
    whole = b""
    for index, (frame, options) in enumerate(parts):
        frames = [(index + seconds, frame) for seconds, _ in every(1, frame)]
        whole += make_clip(tmp_path / f"{index}.ts", frames=frames, options=options).read_bytes()
    (tmp_path / "whole.ts").write_bytes(whole)
    got = list(decode_frames(tmp_path / "whole.ts", RATE))
    assert np.allclose([seconds for seconds, _ in got], np.arange(40) / 10)
    assert np.allclose([frame.mean() for _, frame in got], np.repeat([50, 100, 150, 200], 10), atol=2)
    assert [frame.shape[0] for _, frame in got] == [48] * 20 + [96] * 20


def test_an_interlaced_frame_too_small_to_mend_is_shown(tmp_path):
    path = make_clip(
        tmp_path / "clip.mp4",
        frames=every(0.2, grey(80, width=2, height=2)),
        pixel_format="yuv444p",
        options={"x264-params": "tff=1"},
    )
    assert all(frame.interlaced_frame for frame in decoded(path))
    assert [frame.shape for _, frame in decode_frames(path, RATE)] == [(2, 2, 3)] * 2


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(64, 45), 102), (Fraction(1), 72), (Fraction(1000), 72)])
def test_pixels_become_square(tmp_path, aspect, width):
    """Except where the header's claim cannot be true."""

    def stretch(video):
        video.codec_context.sample_aspect_ratio = aspect

    path = make_clip(tmp_path / "clip.mp4", frames=every(0.2, grey(80, width=72, height=58)), set_up=stretch)
    assert {frame.shape for _, frame in decode_frames(path, RATE)} == {(58, width, 3)}
    assert (probe(path).width, probe(path).height) == (width, 58)


gaps = st.lists(st.integers(0, 2000).map(lambda milliseconds: milliseconds / 1000), max_size=12)  # s between frames


@settings(deadline=None)
@given(st.floats(0, 100), gaps, st.floats(0, 3), rates)
def test_the_grid_rises_covers_the_clip_and_shows_what_is_there(first, between, last, rate):
    times = [first + float(total) for total in np.cumsum([0.0, *between])]
    end = times[-1] + last
    got = list(on_grid([*zip(times, range(len(times)), strict=True), (end, None)], rate))
    moments = [moment for moment, _ in got]
    assert moments == [first + k / rate for k in range(len(moments))]
    assert all(later > earlier for earlier, later in itertools.pairwise(moments))
    assert moments[-1] < end or len(moments) == 1
    assert end <= moments[-1] + 1 / rate + 2 * GRID_TOLERANCE
    for moment, index in got:
        later = [*times[index + 1 :], end]
        assert times[index] <= moment + 2 * GRID_TOLERANCE
        assert moment < later[0] or len(moments) == 1


def test_a_clip_without_frames_has_no_grid():
    assert list(on_grid([], 10.0)) == [] and list(on_grid([(3.0, None)], 10.0)) == []


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 3000), st.lists(st.integers(1, 900), max_size=8), rates)
def test_a_clip_of_any_frame_rate_shows_what_is_there(begin, between, rate):
    """From file to frames, with time stamps to the millisecond and any holes between them."""
    stamps = np.cumsum([begin, *between]) / 1000
    brightness = [20 + 25 * index for index in range(len(stamps))]
    frames = [(seconds, grey(level)) for seconds, level in zip(stamps.tolist(), brightness, strict=True)]
    with TemporaryDirectory() as folder:
        path = make_clip(Path(folder) / "clip.mkv", frames=frames)
        got, length = levels(path, rate), probe(path).seconds
    moments = np.array([seconds for seconds, _ in got])
    assert np.allclose(moments, np.arange(len(got)) / rate)
    assert moments[-1] < length + 2e-3 and length <= moments[-1] + 1 / rate + 2e-3
    for moment, level in got:
        early, late = ((stamps - stamps[0] <= moment + slack).sum() for slack in (-2e-3, 2e-3))
        assert any(abs(level - at) <= 3 for at in brightness[max(early - 1, 0) : late])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CODECS)), st.sampled_from([24, 25, 30, 50, 60]), st.booleans())
def test_every_container_and_rate_is_covered(suffix, fps, with_sound):
    with TemporaryDirectory() as folder:
        path = make_clip(
            Path(folder) / f"clip{suffix}",
            frames=every(2, grey(120), fps=fps),
            sound=tone(2, rate=48_000) if with_sound else None,
            rate=48_000,
            fps=fps,
        )
        moments = np.array([seconds for seconds, _ in decode_frames(path, RATE)])
        info = probe(path)
    assert (info.audio_codec is not None) == with_sound and info.fps == pytest.approx(fps, rel=0.01)
    assert len(moments) in (20, 21)  # time stamps are rounded to milliseconds
    assert np.allclose(np.diff(moments), 0.1) and 0 <= moments[0] < 0.15
