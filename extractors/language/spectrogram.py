"""Spectrogram for recognition: faster-whisper's own to the last bit, in a fifth of its memory.

The library transforms all speech of a clip at once, which takes some 40 MB a minute; here it is done in blocks. Only
the bands are summed at once: a matrix product of another width rounds otherwise, and even that moves recognised words.
The encoder hears 30 s at a time in either case.
"""

from __future__ import annotations

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from jaxtyping import Float32

BLOCK_FRAMES = 3_000  # of 10 ms


class BlockSpectrogram(FeatureExtractor):  # type: ignore[misc]  # the library is not typed
    """Whisper's logarithmic mel spectrogram, in place of `WhisperModel.feature_extractor`."""

    def __call__(
        self, waveform: Float32[np.ndarray, " samples"], padding: int = 160, chunk_length: int | None = None
    ) -> Float32[np.ndarray, "mels frames"]:
        """Make the spectrogram of samples at 16 kHz.

        Args:
            waveform: Of all speech.
            padding: Samples of silence after it.
            chunk_length: Seconds of the encoder's window, where they are other than the model's.
        """
        if chunk_length is not None or len(waveform) <= BLOCK_FRAMES * self.hop_length:
            return np.asarray(super().__call__(waveform, padding, chunk_length))
        mel = np.asarray(self.mel_filters @ self._power(np.pad(waveform, (0, padding))))
        np.log10(np.maximum(mel, 1e-10, out=mel), out=mel)
        np.maximum(mel, mel.max() - 8, out=mel)
        mel += 4
        mel /= 4
        return mel

    def _power(self, sound: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, "bins frames"]:
        """Return the power spectrum, frame after frame in memory as the library's is."""
        sound = np.pad(sound, self.n_fft // 2, mode="reflect")
        window = np.hanning(self.n_fft + 1)[:-1].astype(np.float32)
        frames = (len(sound) - self.n_fft) // self.hop_length  # less the last one, as in the library
        power = np.empty((frames, self.n_fft // 2 + 1), np.float32)
        for first in range(0, frames, BLOCK_FRAMES):
            last = min(first + BLOCK_FRAMES, frames)
            part = sound[first * self.hop_length : (last - 1) * self.hop_length + self.n_fft]
            spectrum = self.stft(part, self.n_fft, self.hop_length, window=window, center=False, return_complex=True)
            power[first:last] = np.square(np.abs(spectrum.astype(np.complex64))).T
        return power.T
