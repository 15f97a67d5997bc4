"""Video: a clip's frames on a regular grid of time, upright, progressive, with square pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from jaxtyping import UInt8

from extractors.media.container import LIMITS, Clock, Limits, Media, Report, decoded_video, log, open_media

MAX_SIDE = 1280  # pixels; longer frames are scaled down
GRID_TOLERANCE = 1e-4  # seconds by which a time stamp may miss a grid point that it stands for
USUAL_RATE = 25.0  # frames per second where a clip states none
PIXEL_ASPECTS = (0.5, 2.0)  # width / height of a pixel; what lies outside is an error in the header
MIN_FIELD_SIDE = 4  # pixels; the deinterlacer takes no smaller frames
EARLY_SECONDS = 2e-3  # by which a frame may come early for its pace: time stamps are rounded, to 1 ms in WebM

Frame = TypeVar("Frame")


def decode_frames(
    path: Path | str, rate: float, limits: Limits = LIMITS, report: Report = log.warning
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode the frame that is shown every 1 / rate seconds, from the first frame to the end of the last.

    Args:
        path: A regular file.
        rate: Pictures per second, whatever the clip's own rate, which need not be constant.
        limits: What the clip may cost.
        report: Called with a note on damage that was skipped.

    Yields:
        (seconds from the start of the clip, RGB upright with the long side at most `MAX_SIDE`).

    Raises:
        MediaError: As `open_media`, and if the video is too long.
    """
    return _images(path, limits, report, timed=lambda shown: on_grid(shown, rate))


def decode_paced(
    path: Path | str, *, slowest: float, fastest: float, limits: Limits = LIMITS, report: Report = log.warning
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode frames at their own times, as `decode_frames` does on a grid.

    Args:
        path: As there.
        slowest: Frames per second; one that is shown for longer comes again.
        fastest: Frames per second; what comes faster is left out.
        limits: As there.
        report: As there.

    Yields:
        As there.

    Raises:
        MediaError: As there.
    """
    return _images(path, limits, report, timed=lambda shown: paced(shown, slowest=slowest, fastest=fastest))


def _images(
    path: Path | str,
    limits: Limits,
    report: Report,
    *,
    timed: Callable[[Iterable[tuple[float, Any]]], Iterable[tuple[float, Any]]],
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode frames and convert each once, however often it is shown; `timed` decides when that is."""
    with open_media(path, limits) as media:
        if media.video is None:
            return
        aspect = pixel_aspect(media.video)
        last = None
        image = np.zeros((0, 0, 3), np.uint8)
        for moment, frame in timed(_shown(media, media.video, limits, report)):
            limits.check_length(moment)
            if frame is not last:
                last, image = frame, _rgb(frame, aspect)
            yield moment, image


def paced(
    frames: Iterable[tuple[float, Frame | None]], *, slowest: float, fastest: float
) -> Iterator[tuple[float, Frame]]:
    """Leave out frames that come too fast and repeat those that are shown for long; times rise.

    >>> list(paced([(0.0, "a"), (0.01, "b"), (0.06, "c"), (0.22, None)], slowest=10.0, fastest=25.0))
    [(0.0, 'a'), (0.06, 'c'), (0.16, 'c')]

    Args:
        frames: As in `on_grid`.
        slowest: Frames per second.
        fastest: Frames per second.
    """
    shown, last, wait = None, 0.0, 1 / slowest
    for time, frame in frames:
        # A repetition stays so far from the next frame that it cannot keep it out.
        while shown is not None and time - last > wait + 1 / fastest - EARLY_SECONDS:
            last, wait = last + wait, 1 / slowest
            yield last, shown
        if frame is None:
            return
        if shown is None or time - last >= 1 / fastest - EARLY_SECONDS:
            last, wait = time, 1 / slowest
            yield time, frame
        else:
            wait = 1 / fastest  # it is shown as soon as it may be, unless another comes before
        shown = frame


def on_grid(frames: Iterable[tuple[float, Frame | None]], rate: float) -> Iterator[tuple[float, Frame]]:
    """Return the frame that is shown every 1 / rate seconds.

    Args:
        frames: (seconds, frame) that never fall, each shown until the next; at last (end, None).
        rate: Grid points per second.

    Yields:
        (seconds, frame): the grid begins with the first frame and its last point lies before the end. There is at
        least one point where there is a frame.
    """
    first, step, shown = 0.0, 0, None
    for time, frame in frames:
        if shown is None:
            first = time
        while shown is not None and (moment := first + step / rate) < time - GRID_TOLERANCE:
            yield moment, shown
            step += 1
        if frame is None and shown is not None and step == 0:
            yield first, shown
        shown = frame


def pixel_aspect(video: av.VideoStream) -> float:
    """Return a pixel's width in its heights: DV and many MPEG clips have pixels that are not square."""
    aspect = float(video.sample_aspect_ratio or 1)
    return aspect if PIXEL_ASPECTS[0] <= aspect <= PIXEL_ASPECTS[1] else 1.0


def rotation(frame: av.VideoFrame) -> int:
    """Return by how many degrees a frame is to be turned anticlockwise: 0, 90, 180 or 270."""
    return 90 * round(frame.rotation / 90) % 360


def shown_size(frame: av.VideoFrame, aspect: float) -> tuple[int, int]:
    """Return a frame's (width, height) in square pixels, upright.

    Args:
        frame: As decoded.
        aspect: Of its pixels, width / height.
    """
    width, height = max(1, round(frame.width * aspect)), frame.height
    return (width, height) if rotation(frame) % 180 == 0 else (height, width)


def _shown(
    media: Media, video: av.VideoStream, limits: Limits, report: Report
) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """Yield every frame with its never falling time, at last (end of the last frame, None)."""
    time = length = 0.0
    count = 0
    clock = Clock(media.origin, limits, first_only=True)
    usual = 1 / float(video.average_rate or USUAL_RATE)
    for frame in _progressive(decoded_video(media, video, report)):
        moment = clock.seconds(frame.time, expected=time + length)
        time = max(moment, time)
        length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else usual
        count += 1
        limits.check_length(time, count)
        yield time, frame
    if count:
        yield time + length, None


def _progressive(frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Yield frames in which both fields show one moment; those not marked as interlaced stay as they are."""
    kind = graph = None
    for frame in frames:
        if graph is not None and kind != (kind := _kind(frame)):
            yield from _pulled(graph, None)
            graph = None
        if graph is None and frame.interlaced_frame and min(frame.width, frame.height) >= MIN_FIELD_SIDE:
            kind = _kind(frame)
            graph = _deinterlacer(frame)
        yield from [frame] if graph is None else _pulled(graph, frame)
    if graph is not None:
        yield from _pulled(graph, None)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str, Fraction | None]:
    """Return what a filter graph is built for."""
    return frame.width, frame.height, frame.format.name, frame.time_base


def _deinterlacer(frame: av.VideoFrame) -> av.filter.Graph:
    """Build a graph for frames of this kind: one frame out for each frame in, the one marked as interlaced mended."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: av.filter.Graph, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    """Push a frame, None at the end, and yield what comes out: bwdif looks one frame ahead."""
    graph.vpush(frame)
    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):  # wants more, has no more
            return


def _rgb(frame: av.VideoFrame, aspect: float) -> UInt8[np.ndarray, "height width 3"]:
    """Scale down, convert, turn upright and undo a mirror."""
    wide, high = frame.width * aspect, frame.height
    scale = min(1.0, MAX_SIDE / max(wide, high))
    width, height = (max(1, round(side * scale)) for side in (wide, high))
    image = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    if _is_mirrored(frame):
        image = image[::-1]
    return np.ascontiguousarray(np.rot90(image, rotation(frame) // 90))  # both turn anticlockwise


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the frame is to be turned upside down before it is rotated: front cameras write such matrices."""
    side_data: Any = frame.side_data  # a container, which PyAV's stub takes for its entries
    matrix = next((data for data in side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return bool(a * d < b * c)
