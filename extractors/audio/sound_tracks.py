"""Sound tracks of a file: which of them is listened to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from extractors.audio import quality, voice_activity
from extractors.media import probe
from extractors.media.probe import Limits, MediaInfo, Sound
from extractors.messages import Message

MAX_TRACKS = 8  # sound tracks among which the one with the most speech is looked for
MORE_SPEECH = 1.2  # times the seconds of speech that another track than the default must have


def decode(
    path: Path, info: MediaInfo, limits: Limits, note: Callable[[Message], None], *, asked: int | None
) -> Sound | None:
    """Decode the sound track that is asked for, or else the one with the most speech; note what is odd about it.

    Args:
        path: The clip.
        info: What its file says of it.
        limits: What it may cost.
        note: Called with each note.
        asked: Number of a track, from 1; None where any will do.

    Raises:
        MediaError: If the track is not there or cannot be decoded.
    """
    if info.ends_early:
        note(Message("clip_ends_early", {"second": f"{info.seconds:.1f}"}))
    if info.audio_tracks < 2 or asked is not None:
        if info.audio_tracks > 1 and asked is not None:
            note(Message("audio_track_asked", {"count": info.audio_tracks, "track": asked}))
        return probe.decode_audio(path, limits, note, track=asked)
    found: list[tuple[float, int, Sound, list[Message]]] = []
    numbers = sorted(range(1, info.audio_tracks + 1)[:MAX_TRACKS], key=lambda number: number != info.audio_track)
    for number in numbers:  # the file's own choice comes first, and wins where another speaks hardly more
        notes: list[Message] = []
        sound = probe.decode_audio(path, limits, notes.append, track=number)
        if sound is not None:
            voiced = voice_activity.segments(quality.raised(sound.samples))
            found.append((sum(end - begin for begin, end in voiced), number, sound, notes))
    best = found[0]
    for each in found[1:]:
        best = each if each[0] > MORE_SPEECH * best[0] + 0.5 else best
    for said in (*best[3], Message("several_audio_tracks", {"count": info.audio_tracks, "track": best[1]})):
        note(said)
    return best[2]
