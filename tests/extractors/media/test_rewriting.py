"""Clips written again as MP4: what any player takes, whatever came in, and never more than is allowed."""

from __future__ import annotations

import av
import numpy as np
import pytest

from extractors.media import rewriting, soundtrack
from extractors.media.container import Limits, MediaError
from extractors.media.rewriting import rewrite
from tests.extractors.support.clips import every, grey, make_clip, make_sound, tone

RED = (230, 30, 30)


def paint(image, second):
    """A red square in the upper left corner, a fifth of each side."""
    image[: image.shape[0] // 5, : image.shape[1] // 5] = RED


def opened(path):
    """Frames (seconds, RGB) and sound (channels, samples) of a file."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray() for frame in container.decode(audio=0)] if container.streams.audio else []
    return frames, np.concatenate(pieces, axis=1) if pieces else None


def written(tmp_path, path, **changes):
    target = tmp_path / "out.mp4"
    rewrite(path, target, changes.pop("draw", paint), **{"seconds": 1.0, **changes})
    return target


def assert_painted(image, level):
    high, wide = image.shape[0] // 5, image.shape[1] // 5
    corner, rest = image[2 : high - 3, 2 : wide - 3], image[high + 6 :, wide + 6 :]
    assert np.abs(corner.astype(int) - RED).mean() < 12
    assert np.abs(rest.astype(int) - level).mean() < 6


def test_frames_sound_length_and_comment(tmp_path):
    path = make_clip(tmp_path / "in.mp4", frames=every(1, grey(120)), sound=tone(1, channels=2))
    reports = []
    target = written(tmp_path, path, comment="about 好", report=lambda *report: reports.append(report))
    with av.open(str(target)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert container.duration / av.time_base == pytest.approx(1.0, abs=0.06)
        assert container.metadata["comment"] == "about 好"
    frames, sound = opened(target)
    assert [time for time, _ in frames] == pytest.approx(np.arange(25) / 25, abs=0.002)
    for _, image in frames[::8]:
        assert image.shape == (480, 640, 3), "a small clip is enlarged"
        assert_painted(image, 120)
    assert sound.shape[1] / soundtrack.RATE == pytest.approx(1.0, abs=0.05)
    assert 0.1 < np.abs(sound).max() <= 1.01
    assert reports[-1] == (1000, 1000) and sorted(reports) == reports


def test_a_clip_without_sound_gets_none(tmp_path):
    target = written(tmp_path, make_clip(tmp_path / "in.webm", frames=every(0.4, grey(120))))
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize(("width", "height"), [(301, 201), (33, 2), (1601, 901)])
def test_sides_are_even_and_not_too_long(tmp_path, width, height):
    image = grey(120, width=width, height=height)
    path = make_clip(tmp_path / "in.mkv", frames=every(0.2, image), pixel_format="yuv444p")
    frames, _ = opened(written(tmp_path, path))
    high, wide, _ = frames[0][1].shape
    assert high % 2 == wide % 2 == 0 and 640 <= wide <= 1280 and high >= 16
    if height > 100:
        assert wide / high == pytest.approx(width / height, rel=0.01)
        assert_painted(frames[0][1], 120)


@pytest.mark.parametrize("degrees", [90, 270])
def test_rotation_is_applied(tmp_path, degrees):
    stored = grey(60, width=320, height=160)
    stored[:, :80] = 200  # on the left

    def turn(video):
        video.set_display_rotation(degrees)

    path = make_clip(tmp_path / "in.mp4", frames=every(0.2, stored), options={"crf": "1"}, set_up=turn)
    frames, _ = opened(written(tmp_path, path, draw=lambda image, second: None))
    image = frames[0][1]
    assert image.shape == (640, 320, 3)
    bright, dark = (image[-80:], image[:80]) if degrees == 90 else (image[:80], image[-80:])
    assert bright.mean() == pytest.approx(200, abs=6) and dark.mean() == pytest.approx(60, abs=6)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_frames_keep_their_own_times(tmp_path):
    """Of a clip with a variable frame rate; what is drawn moves on while a frame is shown for long."""
    shown = [(0.0, grey(20)), (0.05, grey(80)), (0.09, grey(140)), (0.8, grey(200)), (1.3, grey(240))]
    path = make_clip(tmp_path / "in.mkv", frames=shown)
    drawn = []
    frames, _ = opened(written(tmp_path, path, seconds=1.3, draw=lambda image, second: drawn.append(second)))
    times = [time for time, _ in frames]
    assert times == pytest.approx(drawn, abs=0.002)
    assert np.diff(times).max() <= 0.14 and np.diff(times).min() >= 0.03
    for begin, image in shown:
        levels = [frame.mean() for time, frame in frames if begin - 0.001 <= time < begin + 0.04]
        assert levels == pytest.approx([image.mean()] * len(levels), abs=6) and levels


def test_more_than_thirty_frames_a_second_are_thinned_out(tmp_path):
    path = make_clip(tmp_path / "in.mp4", frames=every(0.5, grey(120), fps=60), fps=60)
    frames, _ = opened(written(tmp_path, path, seconds=0.5))
    assert [time for time, _ in frames] == pytest.approx(np.arange(15) / 30, abs=0.003)


def test_a_frame_that_changes_its_size_is_fitted(tmp_path):
    images = [np.full((48, 64, 3), 120, np.uint8), np.full((90, 30, 3), 120, np.uint8)]
    with av.open(str(tmp_path / "out.mp4"), "w") as container:
        video = rewriting._Video(container, (640, 480), 1.0)
        assert [video.fit(image).shape for image in images] == [(480, 640, 3)] * 2


def test_sound_that_begins_late_or_has_holes_stays_in_time(tmp_path):
    path = make_clip(tmp_path / "in.mkv", frames=every(1, grey(120)), sound=tone(0.5), sound_start=0.5)
    _, sound = opened(written(tmp_path, path))
    second = soundtrack.RATE
    assert np.abs(sound[:, : round(0.4 * second)]).max() < 0.01
    assert np.abs(sound[:, round(0.6 * second) : round(0.9 * second)]).max() > 0.1


def test_the_last_frame_lasts_as_long_as_the_sound(tmp_path):
    path = make_clip(tmp_path / "in.mkv", frames=every(0.2, grey(120)), sound=tone(1))
    frames, _ = opened(written(tmp_path, path))
    assert 0.85 < frames[-1][0] < 1.0
    assert_painted(frames[-1][1], 120)


def test_blocks_are_whole_and_finite(tmp_path):
    wave = tone(0.5, channels=2)
    wave[:, 100:200] = np.nan
    wave[0, 300:400] = np.inf
    path = make_clip(tmp_path / "in.mkv", frames=every(0.5, grey(9)), sound=wave)
    pieces = list(soundtrack.blocks(path))
    assert {len(piece) for piece in pieces[:-1]} == {soundtrack.BLOCK}
    assert all(np.isfinite(piece).all() and np.abs(piece).max() <= 1 for piece in pieces)
    _, sound = opened(written(tmp_path, path, seconds=0.5))
    assert sound.shape[1]


def test_the_sound_track_that_is_asked_for_is_heard(tmp_path):
    path = make_sound(tmp_path / "in.mkv", [tone(0.3), np.zeros((1, 4800), np.float32)])
    assert np.abs(np.concatenate(list(soundtrack.blocks(path, track=1)))).max() > 0.1
    assert not np.concatenate(list(soundtrack.blocks(path, track=2))).any()


def test_clips_that_cannot_be_written_again_are_refused(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"ffconcat version 1.0\nfile other.mp4")
    with pytest.raises(MediaError):
        written(tmp_path, broken)
    with pytest.raises(MediaError) as caught:
        written(tmp_path, make_sound(tmp_path / "sound.mkv", [tone(0.3)]))
    assert caught.value.message.code == "nothing_decoded"
    long = make_clip(tmp_path / "long.mp4", frames=every(1, grey(9)))
    with pytest.raises(MediaError, match="longer than"):
        written(tmp_path, long, limits=Limits(seconds=0.5))
    with pytest.raises(MediaError, match="pixels"):
        written(tmp_path, long, limits=Limits(pixels=1000))


def test_the_file_is_never_larger_than_allowed(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "in.mp4", frames=every(1, grey(120)))
    noise = np.random.default_rng(0)

    def draw(image, second):
        image[:] = noise.integers(0, 256, image.shape)

    monkeypatch.setattr(rewriting, "MAX_BYTES", 50_000)
    with pytest.raises(MediaError, match="would be larger than"):
        written(tmp_path, path, draw=draw)
    assert (tmp_path / "out.mp4").stat().st_size < 100_000


def test_what_the_report_raises_ends_the_work(tmp_path):
    class GivenUpError(Exception):
        pass

    def report(done, total):
        if done:
            raise GivenUpError

    path = make_clip(tmp_path / "in.mp4", frames=every(1, grey(120)), sound=tone(1))
    with pytest.raises(GivenUpError):
        written(tmp_path, path, report=report)


def test_a_full_disk_is_an_error_of_the_system(tmp_path):
    path = make_clip(tmp_path / "in.mp4", frames=every(0.4, grey(120)))
    with pytest.raises(OSError, match="No such file"):
        rewrite(path, tmp_path / "nowhere" / "out.mp4", paint, seconds=0.4)
