"""Makes the app's sample clips: two public-domain portraits, animated, and a synthetic voice.

`python -m training.demo_clips.make --out app/samples` writes five WebM clips and samples.json. The same packages give
the same clips again: nothing is drawn at random without a seed. Needs training/demo_clips/requirements.txt.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import mediapipe
import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from scipy.signal import butter, resample_poly, sosfiltfilt

from extractors.vision.landmarks import landmarker
from training.demo_clips.portrait import Expression, Portrait, smoothstep

SIZE = 480  # pixels, width and height
FRAME_RATE = 25  # frames per second
VOICE_RATE = 24_000  # Hz, what the synthesiser gives
OPUS_RATE = 48_000  # Hz
PAUSE_SECONDS = 0.35  # before, between and after sentences
SILENT_SECONDS = 5.0  # length of the clip without sound
VOICE_BAND_HZ = 1_500.0  # the jaw follows what lies below; hiss of s and f opens no mouth
WIDEST = 0.7  # jaw opening of the loudest vowels
BLINK_EVERY_SECONDS = 2.7
BLINK_SECONDS = 0.24
VOICED_HZ = 40.0  # the synthesiser's own bound between voiced and unvoiced frames
SEED = 1111

VOICE_CREDIT = "Voice: hibari-tts 0.2.1, voice “heart”, synthetic (Apache-2.0)."
PORTRAITS = {
    "collins": "Portrait: Eileen Collins, NASA, public domain (skimage.data.astronaut), animated.",
    "hopper": "Portrait: Grace Hopper, US Navy, public domain (matplotlib sample data), animated.",
}
DRAWING_CREDIT = "Picture: drawn by the script."


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How a sentence is said; 1 is the synthesiser's own way.

    Attributes:
        speed: Factor on the pace.
        pitch: Factor on the mean fundamental frequency.
        melody: Exponent on its deviation from the mean: above 1 livelier, below 1 flatter.
        loudness: Peak of the sound, full scale 1.
    """

    speed: float = 1.0
    pitch: float = 1.0
    melody: float = 1.0
    loudness: float = 0.6


@dataclass(frozen=True, kw_only=True)
class DemoClip:
    """One clip.

    Attributes:
        name: File name without its ending.
        title: What the app calls it.
        description: A sentence for the user.
        sentences: What is said; none for a clip without sound.
        portrait: Key of `PORTRAITS`; None for a clip without a face.
        smile: 0 to 1.
        frown: 0 to 1.
        voice: How it is said.
    """

    name: str
    title: str
    description: str
    sentences: tuple[str, ...] = ()
    portrait: str | None = None
    smile: float = 0.0
    frown: float = 0.0
    voice: Voice = Voice()


SAMPLES = (
    DemoClip(
        name="positive",
        title="Delighted",
        description="Glad words, a lively voice and a smile.",
        sentences=(
            "What a wonderful evening!",
            "I love this film, the actors are brilliant, and I am so happy that I came.",
        ),
        portrait="collins",
        smile=1.0,
        voice=Voice(pitch=1.08, melody=1.3, loudness=0.8),
    ),
    DemoClip(
        name="negative",
        title="Disappointed",
        description="Bitter words, a flat voice and a frown.",
        sentences=(
            "I am very disappointed.",
            "This film was terrible, boring and sad, and I hated every minute.",
        ),
        portrait="hopper",
        frown=1.0,
        voice=Voice(speed=0.92, pitch=0.92, melody=0.7, loudness=0.5),
    ),
    DemoClip(
        name="neutral",
        title="Matter of fact",
        description="Plain facts, said plainly.",
        sentences=("The train to the city leaves at nine.", "It stops at four stations and takes about an hour."),
        portrait="hopper",
    ),
    DemoClip(
        name="no-sound",
        title="Without sound",
        description="A smile only: the clip has no sound, so voice and words are absent.",
        portrait="collins",
        smile=1.0,
    ),
    DemoClip(
        name="no-face",
        title="Without a face",
        description="Glad words over a landscape: no face is there, so only voice and words count.",
        sentences=("The walk along the river was lovely.", "We had such a beautiful day, and everyone was happy."),
        voice=Voice(pitch=1.05, melody=1.2, loudness=0.7),
    ),
)


class Speaker:
    """The synthetic voice."""

    def __init__(self) -> None:
        from hibari import Hibari

        self._model = Hibari(threads=1)

    def say(self, sentences: tuple[str, ...], voice: Voice) -> Float32[np.ndarray, " samples"]:
        """Return the sentences with pauses around them, mono at `VOICE_RATE`."""
        pause = np.zeros(round(PAUSE_SECONDS * VOICE_RATE), np.float32)
        rng = np.random.default_rng(SEED)
        parts = [pause]
        for sentence in sentences:
            for phonemes in self._model.phonemize(sentence):
                parts += [self._say_phonemes(phonemes, voice, rng), pause]
        sound = np.concatenate(parts)
        return (sound * voice.loudness / np.abs(sound).max()).astype(np.float32)

    def _say_phonemes(self, phonemes: str, voice: Voice, rng: np.random.Generator) -> np.ndarray:
        """What the package's `from_ids` does, with the melody changed between network and waveform."""
        from hibari import dsp

        inputs = {
            "ids": np.asarray([self._model.ids(phonemes)], np.int64),
            "speed": np.asarray([voice.speed], np.float32),
        }
        *spectrum, pitch = (output[0] for output in self._model.sess.run(None, inputs))
        voiced = pitch > VOICED_HZ
        mean = np.exp(np.log(pitch[voiced]).mean())
        pitch = np.where(voiced, mean * voice.pitch * (np.maximum(pitch, 1) / mean) ** voice.melody, pitch)
        return dsp.synth(*spectrum, pitch.astype(np.float32), rng)


def load_portrait(name: str) -> Portrait:
    """Crop the named image to the head, `SIZE` x `SIZE`, and find its landmarks.

    Raises:
        ValueError: If no face is found in it.
    """
    if name == "collins":
        from skimage.data import astronaut

        image = astronaut()[0:240, 105:345]
    else:
        from matplotlib.cbook import get_sample_data

        with get_sample_data("grace_hopper.jpg") as file:
            image = np.array(Image.open(file).convert("RGB"))[20:480, 32:492]
    image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LANCZOS4)
    with landmarker() as model:
        found = model.detect_for_video(mediapipe.Image(mediapipe.ImageFormat.SRGB, image), 0).face_landmarks
    if not found:
        raise ValueError(f"portrait {name}: no face found, expected one")
    return Portrait(image=image, landmarks=np.array([(p.x, p.y, p.z) for p in found[0]]) * SIZE)


def jaw_opening(sound: Float32[np.ndarray, " samples"], frames: int) -> Float[np.ndarray, " frames"]:
    """How far the voice opens the mouth in each frame, 0 to `WIDEST`."""
    low = sosfiltfilt(butter(4, VOICE_BAND_HZ, fs=VOICE_RATE, output="sos"), sound)
    per_frame = VOICE_RATE // FRAME_RATE
    low = np.pad(low, (0, frames * per_frame - len(low)))
    loudness = np.sqrt((low.reshape(frames, per_frame) ** 2).mean(axis=1))
    loudness = np.convolve(loudness, [0.25, 0.5, 0.25], mode="same")
    return WIDEST * np.clip(loudness / np.percentile(loudness, 95), 0, 1) ** 0.8


def expressions(sample: DemoClip, jaw: Float[np.ndarray, " frames"]) -> Iterator[Expression]:
    """One expression per frame: the mood grows in the first second, the head sways, the eyes blink."""
    for index, opening in enumerate(jaw):
        second = index / FRAME_RATE
        mood = min(1.0, 0.3 + 0.7 * second) * (0.93 + 0.07 * np.sin(2.1 * second))
        into_blink = (second + 0.6 * BLINK_EVERY_SECONDS) % BLINK_EVERY_SECONDS
        yield Expression(
            jaw=float(opening),
            smile=sample.smile * mood * (1 - 0.5 * float(opening)),
            frown=sample.frown * mood,
            blink=float(np.sin(np.pi * min(into_blink / BLINK_SECONDS, 1))),
            yaw=0.07 * np.sin(0.9 * second + 0.4),
            pitch=0.03 * np.sin(1.3 * second) + 0.03 * float(opening),
            roll=0.02 * np.sin(0.7 * second + 1.0),
        )


def landscape(frames: int) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Hills, a river of light and drifting clouds."""
    y, x = np.indices((SIZE, SIZE)) / SIZE
    sky = (1 - y)[..., None] * np.array([60, 120, 205]) + y[..., None] * np.array([250, 225, 190])
    for index in range(frames):
        second = index / FRAME_RATE
        image = sky.copy()
        for across, up, wide in ((0.15, 0.18, 0.11), (0.55, 0.10, 0.08), (0.85, 0.26, 0.13)):
            offset = (x - across - 0.015 * second + 0.5) % 1 - 0.5
            cloud = np.exp(-((offset / wide) ** 2) - ((y - up) / (0.3 * wide)) ** 2)
            image += 0.8 * cloud[..., None] * (255 - image)
        for top, wave, phase, colour in (
            (0.55, 5.0, 0.3, (110, 140, 150)),
            (0.66, 7.0, 1.9, (84, 128, 92)),
            (0.80, 4.0, 4.0, (52, 98, 58)),
        ):
            ridge = top + 0.05 * np.sin(wave * x + phase) + 0.015 * np.sin(3.1 * wave * x + phase)
            cover = np.clip((y - ridge) * SIZE / 2, 0, 1)[..., None]
            image += cover * (np.array(colour) - image)
        bank = 0.5 + 0.18 * np.sin(7 * y + 0.2)
        width = 0.008 + 0.3 * np.clip(y - 0.72, 0, 1) ** 1.3
        river = smoothstep((y - 0.72) / 0.06) * np.exp(-(((x - bank) / width) ** 6))
        glitter = 0.9 + 0.1 * np.sin(160 * y - 4 * second + 5 * np.sin(23 * x))
        image += (river * glitter)[..., None] * (np.array([178, 208, 235]) - image)
        yield np.clip(image, 0, 255).astype(np.uint8)


def write_clip(
    path: Path, images: Iterator[UInt8[np.ndarray, "height width 3"]], sound: Float32[np.ndarray, " samples"] | None
) -> None:
    """Write VP9 and, where there is sound, Opus; without dates or random marks, so that bytes repeat."""
    with av.open(str(path), "w", format="webm", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("libvpx-vp9", rate=FRAME_RATE)
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.options = {"crf": "26", "b:v": "0", "deadline": "good", "cpu-used": "3", "threads": "1"}
        audio = None
        if sound is not None:
            audio = container.add_stream("libopus", rate=OPUS_RATE, layout="mono")
            audio.bit_rate = 48_000
            container.mux(list(_audio_packets(audio, sound)))
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def _audio_packets(stream: av.audio.AudioStream, sound: Float32[np.ndarray, " samples"]) -> Iterator[av.Packet]:
    samples = resample_poly(sound, OPUS_RATE, VOICE_RATE).astype(np.float32)
    step = OPUS_RATE // 50
    for start in range(0, len(samples), step):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + step], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = OPUS_RATE, start, Fraction(1, OPUS_RATE)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def make(sample: DemoClip, *, out: Path, speaker: Speaker, portraits: dict[str, Portrait]) -> Path:
    """Write one sample's clip and return its path."""
    sound = speaker.say(sample.sentences, sample.voice) if sample.sentences else None
    seconds = SILENT_SECONDS if sound is None else len(sound) / VOICE_RATE
    frames = int(np.ceil(seconds * FRAME_RATE))
    if sample.portrait is None:
        images = landscape(frames)
    else:
        jaw = np.zeros(frames) if sound is None else jaw_opening(sound, frames)
        portrait = portraits[sample.portrait]
        images = (portrait.render(expression) for expression in expressions(sample, jaw))
    path = out / f"{sample.name}.webm"
    write_clip(path, images, sound)
    return path


def entry(sample: DemoClip) -> dict[str, str | bool | None]:
    """What samples.json says of a clip."""
    credits = [PORTRAITS[sample.portrait] if sample.portrait else DRAWING_CREDIT]
    credits += [VOICE_CREDIT] if sample.sentences else []
    return {
        "file": f"{sample.name}.webm",
        "title": sample.title,
        "description": sample.description,
        "transcript": " ".join(sample.sentences) or None,
        "synthetic": True,
        "credit": " ".join(credits),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the app's sample clips.")
    parser.add_argument("--out", type=Path, default=Path("app/samples"), help="folder for clips and samples.json")
    parser.add_argument("--only", choices=[sample.name for sample in SAMPLES], help="make this clip alone")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = [sample for sample in SAMPLES if arguments.only in (None, sample.name)]
    speaker = Speaker()
    portraits = {name: load_portrait(name) for name in {sample.portrait for sample in chosen} - {None}}
    for sample in chosen:
        path = make(sample, out=arguments.out, speaker=speaker, portraits=portraits)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    listing = json.dumps([entry(sample) for sample in SAMPLES], indent=2, ensure_ascii=False)
    (arguments.out / "samples.json").write_text(listing + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
