"""Recogniser and text encoder where a GPU runs out of memory, and where another device is asked for."""

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import ctranslate2
import numpy as np
import pytest
import torch

from extractors.assets.device import load_cublas
from extractors.language import asr, text_encoder, word_features
from extractors.language.transcript import Transcript
from extractors.media.probe import decode_audio
from tests.paths import ROOT, SAMPLES


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


LOAD_AND_LOOK = """
import ctypes
from extractors.assets.device import load_cublas

load_cublas()
ctypes.CDLL("libcublas.so.12")  # by its name alone, as CTranslate2 does
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcc") is None, reason="makes a library of Linux")
def test_cublas_is_found_in_its_package(tmp_path):
    """In a folder where the loader does not look."""
    folder = tmp_path / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    (tmp_path / "empty.c").write_text("int nothing;")
    for name in ("libcublasLt.so.12", "libcublas.so.12"):
        command = ["gcc", "-shared", f"-Wl,-soname,{name}", "-o", str(folder / name), str(tmp_path / "empty.c")]
        subprocess.run(command, check=True)
    about = tmp_path / "nvidia_cublas_cu12-12.9.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cublas-cu12\nVersion: 12.9.0\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    subprocess.run([sys.executable, "-c", LOAD_AND_LOOK], check=True, env=environment)


def test_without_cublas_the_recogniser_is_on_the_cpu_and_says_so(monkeypatch, caplog):
    """On screen too: as a note on the transcript."""
    monkeypatch.setattr("extractors.assets.device._LIBRARIES", ("libcublas-of-nobody.so",))
    with pytest.raises(RuntimeError, match=r"cuBLAS of CUDA 12 cannot be loaded .*pip install nvidia-cublas-cu12"):
        load_cublas()
    monkeypatch.setattr(asr, "devices", lambda: [("cuda", "float16"), ("cpu", "int8")])
    asr._load.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger="extractors.language.asr"):
            transcript = asr.recognise(decode_audio(SAMPLES / "positive.webm").samples)
    finally:
        asr._load.cache_clear()
    (note,) = (note for note in transcript.notes if note.code == "recogniser_not_on_gpu")
    assert "cuBLAS of CUDA 12" in str(note) and transcript.words
    assert "the speech recogniser runs on the CPU, because the GPU failed: cuBLAS of CUDA 12" in caplog.text
