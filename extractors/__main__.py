"""The summary of one clip: `python -m extractors FILE [--transcript TEXT | --captions FILE] [--cache DIR]`.

`--audio-track` and `--caption-track` choose among the tracks of the file. The clip is opened in a worker process, which
has no network. It may last 15 minutes, or what the variables `ALIGNMAMBA_MAX_SECONDS` and `ALIGNMAMBA_MAX_MEGABYTES`
say.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from extractors.language import subtitles
from extractors.media.probe import configured_limits
from extractors.progress import ProgressHook
from extractors.schema import FEATURE_SETS, MODALITY_NAMES, ClipFeatures, Word
from extractors.storage.cache import Cache
from extractors.workers.client import AssetError, Budget, MediaError, TranscriptError, WorkerError, extract


def main(given: Sequence[str] | None = None, *, prog: str = "python -m extractors") -> int:
    """Print a clip's summary.

    Args:
        given: Arguments; those of the process if not given.
        prog: Name of the command, for its help.

    Returns:
        0, or 1 where the clip cannot be used.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Print a clip's summary.")
    parser.add_argument("file", type=Path)
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--transcript", help="what is said; recognised if not given")
    words.add_argument("--captions", type=Path, help="file with what is said: SRT, WebVTT and others, or plain text")
    words.add_argument("--caption-track", type=int, help="which caption track of the clip says it, from 1")
    parser.add_argument(
        "--audio-track", type=int, help="which sound track to use, from 1; that with most speech if not given"
    )
    parser.add_argument("--features", choices=FEATURE_SETS, default="steps", help="columns of audio and video")
    parser.add_argument("--cache", type=Path, help="folder that keeps features, so that no clip is extracted twice")
    arguments = parser.parse_args(given)
    if arguments.transcript and os.path.isfile(arguments.transcript):
        parser.error(f"--transcript: {arguments.transcript} is a file, expected words; --captions reads a file")
    cache, limits = Cache(arguments.cache) if arguments.cache else None, configured_limits()
    try:
        captions = arguments.captions
        said = arguments.transcript if captions is None else subtitles.decode(captions.read_bytes())
        with ProgressHook(transient=True) as hook:
            features = extract(
                arguments.file,
                said,
                hook,
                limits,
                feature_set=arguments.features,
                audio_track=arguments.audio_track,
                caption_track=arguments.caption_track,
                cache=cache,
                budget=Budget.of(limits.seconds),
            )
        print(summary(features))
    except (MediaError, TranscriptError, AssetError, WorkerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def summary(features: ClipFeatures) -> str:
    """Describe features for a terminal.

    Args:
        features: Of any clip.

    Returns:
        Several lines: length, modalities, words with times, notes, step times.
    """
    lines = [f"duration    {features.duration:.2f} s"]
    for name in MODALITY_NAMES:
        part = features.modality(name)
        steps = f"{len(part.values)} steps x {part.values.shape[1]}"
        span = f"{part.start[0]:.2f}-{part.end[-1]:.2f} s, {part.valid.mean():.0%} valid" if len(part.values) else "-"
        lines.append(f"{name:<11} {steps}, {span}" if part.absent is None else f"{name:<11} absent: {part.absent}")
    lines.append(f"transcript  {features.transcript_source}")
    lines += [f"  {word.start:6.2f}-{word.end:6.2f}  {_labelled(word)}" for word in features.words]
    lines += [f"note        {note}" for note in features.notes]
    lines.append("seconds     " + ", ".join(f"{step} {took:.2f}" for step, took in features.step_seconds.items()))
    return "\n".join(lines)


def _labelled(word: Word) -> str:
    return word.text if word.speaker is None else f"{word.text} ({word.speaker})"


if __name__ == "__main__":
    sys.exit(main())
