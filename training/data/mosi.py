"""CMU-MOSI as one vector per utterance and modality (the features of bc-LSTM): dialogues as sequences."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alignmamba.modality import Modality
from training.data.datasets import SPLITS, Dataset, Example, as_steps, deal, sha256, share_of

MAX_BYTES = 2_000_000_000  # of all arrays together
MAX_HEADER_CHARACTERS = 10_000  # of an array; numpy's own limit
VALID_SHARE = 0.12  # of the training videos, which come without a validation part
FOLDS = 4  # of the training videos
ARRAYS = {Modality.AUDIO: "x_audio", Modality.VIDEO: "x_video", Modality.LANGUAGE: "x_text"}
LEAK = (
    "the text and video features of this file were made by networks trained on the bc-LSTM training part, which holds "
    "558 of the 686 utterances of the standard test part: a ridge regression reaches a bogus 94 % there"
)


def read(path: Path, *, split: str = "bclstm", centred: Sequence[str] = (), fold: int | None = None) -> Dataset:
    """Read the file; an example is a video, its steps are utterances in order.

    The 62 training videos of the bc-LSTM split are divided into train and valid by a hash of the video's name.

    Args:
        path: `mosi_utt_tav.npz`.
        split: "bclstm"; the standard split is refused, because the features leak its test part.
        centred: Modalities whose mean over a video is subtracted: this removes what distinguishes speakers and keeps
            what changes from utterance to utterance. With few speakers a model learns them by heart otherwise. No
            label is read for it, but all utterances of a video must be at hand.
        fold: Which of `FOLDS` folds of the training videos is the test part, in the place of the official one, which is
            left out. The features have seen the labels of these videos.

    Raises:
        ValueError: If another split is asked for, a modality or fold is unknown, or the file is not what it should be.
    """
    if split != "bclstm":
        raise ValueError(f"split: {split!r}, expected 'bclstm': {LEAK}")
    if unknown := sorted(set(centred) - {str(modality) for modality in ARRAYS}):
        raise ValueError(f"centred: {unknown}, expected some of {[str(modality) for modality in ARRAYS]}")
    if fold is not None and fold not in range(FOLDS):
        raise ValueError(f"fold: {fold}, expected 0 to {FOLDS - 1}")
    arrays = _arrays(path, ("video", "seg", "label", "bclstm_split", *ARRAYS.values()))
    parts: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for video, part in _parts(path.name, arrays, fold).items():
        rows = np.flatnonzero(arrays["video"] == video)
        rows = rows[np.argsort(arrays["seg"][rows], kind="stable")]
        clip = {
            modality: as_steps(arrays[array][rows] - (arrays[array][rows].mean(0) if modality in centred else 0))
            for modality, array in ARRAYS.items()
        }
        parts[part].append(Example(id=video, clip=clip, score=arrays["label"][rows].astype(np.float32)))
    counts = {part: sum(len(example.score) for example in examples) for part, examples in parts.items()}
    name, dealt = "mosi-utterance", "split of bc-LSTM by video, its training part divided by a hash of the video's name"
    if fold is not None:
        name, dealt = "mosi-utterance-folds", f"training part of the bc-LSTM split, fold {fold} of {FOLDS} as test part"
    return Dataset(
        name=name,
        level="step",
        splits={part: tuple(examples) for part, examples in parts.items()},
        data_sha256={path.name: sha256(path)},
        notes=(
            f"{dealt}: "
            + ", ".join(f"{part} {len(parts[part])} videos with {counts[part]} utterances" for part in SPLITS),
            *(f"{modality}: mean over each video taken away" for modality in centred),
        ),
        features_saw_test=fold is not None,
    )


def _parts(file: str, arrays: Mapping[str, np.ndarray], fold: int | None) -> dict[str, str]:
    """The part of each video, in the order of their names."""
    official = {}
    for video in sorted(set(arrays["video"].tolist())):
        theirs = set(arrays["bclstm_split"][arrays["video"] == video].tolist())
        if theirs not in ({"train"}, {"test"}):
            raise ValueError(f"{file}, video {video}: bclstm_split {sorted(theirs)}, expected 'train' or 'test'")
        official[video] = theirs.pop()
    if fold is not None:
        dealt = deal((video for video, part in official.items() if part == "train"), folds=FOLDS)
        official = {video: "test" if dealt[video] == fold else "train" for video in official if video in dealt}
    return {
        video: "valid" if part == "train" and share_of(video) < VALID_SHARE else part
        for video, part in official.items()
    }


def _arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file, all of the same length; nothing in it is executed."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name}: is no zip file, expected an .npz file")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = sorted(set(names) - set(file.files))
            if missing:
                raise ValueError(f"{path.name}: arrays {missing} missing, expected {sorted(names)}")
            _check_sizes(path, names)
            arrays = {name: file[name] for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path.name}: {error}, expected an .npz file") from error
    if len({len(array) for array in arrays.values()}) != 1:
        raise ValueError(f"{path.name}: arrays of { {n: len(a) for n, a in arrays.items()} } rows, expected one number")
    return arrays


def _check_sizes(path: Path, names: Sequence[str]) -> None:
    """Compare the shapes in the arrays' headers with the sizes in the zip file's list, before memory is taken.

    Raises:
        ValueError: If they differ, or the arrays are too large.
        EOFError: If a header is cut off.
    """
    total = 0
    with zipfile.ZipFile(path) as archive:
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                major, _minor = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                shape, _order, kind = read(stream, max_header_size=MAX_HEADER_CHARACTERS)
                size = math.prod(shape) * kind.itemsize
                if not kind.hasobject and archive.getinfo(f"{name}.npy").file_size != size + stream.tell():
                    raise ValueError(f"{path.name}: {name} has the shape {shape}, expected one that fits its bytes")
            total += size
    if total > MAX_BYTES:
        raise ValueError(f"{path.name}: arrays of {total:,} bytes, expected at most {MAX_BYTES:,}")
