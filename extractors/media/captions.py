"""Caption tracks: the text that a clip's own file shows below its video.

Their packets are read as they are: FFmpeg's decoders turn all kinds into SubStation Alpha and add styles to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from extractors.media.container import LIMITS, Limits, MediaError, open_media, packets
from extractors.messages import Message

MAX_PACKETS = 20_000
MAX_BYTES = 1_000_000  # of all texts of a track
EVENT_FIELDS = 9  # of SubStation Alpha in Matroska: order, layer, style, name, three margins, effect, text
NAME_FIELD, TEXT_FIELD = 3, 8


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A caption of a track.

    Attributes:
        start: Seconds from the start of the clip.
        end: Likewise; None where the file does not say.
        text: With the tags of its format.
        speaker: As SubStation Alpha names one; None elsewhere.
    """

    start: float
    end: float | None
    text: str
    speaker: str | None = None


def decode_captions(path: Path | str, limits: Limits = LIMITS, *, track: int) -> list[Caption]:
    """Read a caption track.

    Args:
        path: A regular file.
        limits: What the clip may cost.
        track: Number, from 1, among the tracks of text; those of bitmaps do not count.

    Returns:
        Its captions in the file's order, up to `MAX_PACKETS` and `MAX_BYTES`; none without text.

    Raises:
        MediaError: As `open_media`, and if there is no such track.
    """
    with open_media(path, limits) as media:
        if not 1 <= track <= len(media.captions):
            values = {"track": track, "count": len(media.captions)}
            raise MediaError(Message("caption_track_missing", values))
        stream = media.captions[track - 1]
        codec = stream.codec_context.name
        found: list[Caption] = []
        size = 0
        for number, packet in enumerate(packets(media, [stream])):
            if packet is None:  # the file breaks off
                break
            data = bytes(packet)
            size += len(data)
            if number >= MAX_PACKETS or size > MAX_BYTES:
                break
            if packet.pts is None or not data:
                continue
            start = float(packet.pts * packet.time_base) - media.origin
            end = start + float(packet.duration * packet.time_base) if packet.duration else None
            found += [
                Caption(start=start, end=end, text=text, speaker=speaker) for text, speaker in _texts(codec, data)
            ]
        return found


def _texts(codec: str, data: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield text and speaker of a packet; nothing where it holds no text."""
    if codec == "mov_text":  # a length, then the text, then boxes of styles
        data = data[2 : 2 + int.from_bytes(data[:2], "big")]
    wide = data.startswith((b"\xfe\xff", b"\xff\xfe"))
    text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace").replace("\x00", "")
    speaker = None
    if codec in ("ass", "ssa"):
        fields = text.split(",", EVENT_FIELDS - 1)
        if len(fields) < EVENT_FIELDS or "\\p1" in text:  # a drawing
            return
        speaker = fields[NAME_FIELD].strip() or None
        text = fields[TEXT_FIELD].replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    if text.strip():
        yield text, speaker
