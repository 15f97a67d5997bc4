"""Recogniser and text encoder where a GPU runs out of memory, and where another device is asked for."""

import logging
from dataclasses import replace

import ctranslate2
import numpy as np
import pytest
import torch

from extractors.language import asr, text_encoder, word_features
from extractors.language.transcript import Transcript


def test_text_encoder_goes_on_on_the_cpu(monkeypatch, caplog):
    model = text_encoder.load()
    expected = word_features.encode_words([["it", "was", "good"]], model=model)[0]
    forward, failed = type(model.encoder).forward, []

    def full(encoder, *arguments, **options):
        if not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(encoder, *arguments, **options)

    monkeypatch.setattr(type(model.encoder), "forward", full)
    with caplog.at_level(logging.WARNING, logger="extractors.language.word_features"):
        found = word_features.encode_words([["it", "was", "good"]], model=replace(model, device="cuda"))[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert "because the GPU is out of memory" in caplog.text


@pytest.mark.parametrize("message", ["CUDA failed with error out of memory", "another error"])
def test_recogniser_goes_on_on_the_cpu(monkeypatch, caplog, message):
    """A GPU that fails while it recognises; loading it is not what fails."""
    on_gpu = asr.Recogniser(whisper=None, name="whisper_base", device="cuda", compute_type="float16")
    used = []

    def transcript(samples, loaded, *arguments, own):
        used.append(loaded.device)
        if loaded.device == "cuda":
            raise RuntimeError(message)
        return Transcript(words=(), source="none")

    monkeypatch.setattr(asr, "load", lambda source: on_gpu)
    monkeypatch.setattr(asr, "_loaded_on", lambda _, name, device, kind: replace(on_gpu, device=device))
    monkeypatch.setattr(asr, "_transcript", transcript)
    monkeypatch.setattr(asr.voice_activity, "segments", lambda samples, start: [(0.0, 1.0)])
    if message == "another error":
        with pytest.raises(RuntimeError, match="another error"):
            asr.recognise(np.zeros(16000, np.float32))
        return
    asr.recognise(np.zeros(16000, np.float32))
    assert used == ["cuda", "cpu"]
    assert "because the GPU is out of memory" in caplog.text


def test_the_recogniser_tries_the_device_that_is_asked_for(monkeypatch):
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 2)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda kind, index: {"float32", "float16"})
    monkeypatch.delenv("ALIGNMAMBA_DEVICE", raising=False)
    assert asr.devices() == [("cuda", "float16"), ("cpu", "int8")]
    monkeypatch.setenv("ALIGNMAMBA_DEVICE", "cuda:1")
    assert asr.devices()[0] == ("cuda:1", "float16")
    monkeypatch.setenv("ALIGNMAMBA_DEVICE", "cpu")
    assert asr.devices() == [("cpu", "int8")]
