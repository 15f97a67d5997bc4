"""Frames: a clip's pictures on a regular grid of time, upright, progressive, with square pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from jaxtyping import UInt8

from extractors.media.container import LIMITS, Limits, Media, Report, decoded, log, open_media

MAX_SIDE = 1280  # pixels; longer pictures are scaled down
GRID_TOLERANCE = 1e-4  # seconds by which a time stamp may miss a grid point that it stands for
USUAL_RATE = 25.0  # pictures per second where a clip tells none
PIXEL_ASPECTS = (0.5, 2.0)  # width / height of a pixel; what lies outside is an error in the header
MIN_FIELD_SIDE = 4  # pixels; the deinterlacer takes no smaller pictures

Picture = TypeVar("Picture")


def decode_frames(
    path: Path | str, rate: float, limits: Limits = LIMITS, report: Report = log.warning
) -> Iterator[tuple[float, UInt8[np.ndarray, "height width 3"]]]:
    """Decode the picture that is shown every 1 / rate seconds, from the first picture to the end of the last.

    Args:
        path: A regular file.
        rate: Pictures per second, whatever the clip's own rate, which need not be constant.
        limits: What the clip may cost.
        report: Told of damage that was skipped.

    Yields:
        (seconds from the start of the clip, RGB upright with the long side at most `MAX_SIDE`).

    Raises:
        MediaError: As `open_media`, and if the video is too long.
    """
    with open_media(path, limits) as media:
        if media.video is None:
            return
        aspect = pixel_aspect(media.video)
        last = picture = None
        for moment, frame in on_grid(_shown(media, limits, report), rate):
            limits.check_length(moment)
            if frame is not last:
                last, picture = frame, _rgb(frame, aspect)
            yield moment, picture


def on_grid(pictures: Iterable[tuple[float, Picture | None]], rate: float) -> Iterator[tuple[float, Picture]]:
    """Say what is shown every 1 / rate seconds.

    Args:
        pictures: (seconds, picture) that never fall, each shown until the next; at last (end, None).
        rate: Grid points per second.

    Yields:
        (seconds, picture): the grid begins with the first picture and its last point lies before the end. There is at
        least one point where there is a picture.
    """
    first, step, shown = 0.0, 0, None
    for time, picture in pictures:
        if shown is None:
            first = time
        while shown is not None and (moment := first + step / rate) < time - GRID_TOLERANCE:
            yield moment, shown
            step += 1
        if picture is None and shown is not None and step == 0:
            yield first, shown
        shown = picture


def pixel_aspect(video: av.VideoStream) -> float:
    """Return a pixel's width in its heights: DV and many MPEG clips have pixels that are not square."""
    aspect = float(video.sample_aspect_ratio or 1)
    return aspect if PIXEL_ASPECTS[0] <= aspect <= PIXEL_ASPECTS[1] else 1.0


def rotation(frame: av.VideoFrame) -> int:
    """Return by how many degrees a picture is to be turned anticlockwise: 0, 90, 180 or 270."""
    return 90 * round(frame.rotation / 90) % 360


def shown_size(frame: av.VideoFrame, aspect: float) -> tuple[int, int]:
    """Return a picture's (width, height) in square pixels, upright.

    Args:
        frame: As decoded.
        aspect: Of its pixels, width / height.
    """
    width, height = max(1, round(frame.width * aspect)), frame.height
    return (width, height) if rotation(frame) % 180 == 0 else (height, width)


def _shown(media: Media, limits: Limits, report: Report) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """Yield every picture with its never falling time, at last (end of the last picture, None)."""
    time = length = 0.0
    count = 0
    video = media.video
    usual = 1 / float(video.average_rate or USUAL_RATE)
    for frame in _progressive(decoded(media, video, report)):
        moment = time + length if frame.time is None else frame.time - media.origin
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


def _kind(frame: av.VideoFrame) -> tuple[int, int, str, Fraction]:
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
    picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    if _is_mirrored(frame):
        picture = picture[::-1]
    return np.ascontiguousarray(np.rot90(picture, rotation(frame) // 90))  # both turn anticlockwise


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the picture is to be turned upside down before it is rotated: front cameras write such matrices."""
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return bool(a * d < b * c)
