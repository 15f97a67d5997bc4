from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from extractors.corpus import run as corpus
from extractors.corpus.items import Item, ItemsError, Shard, find, item_id
from extractors.corpus.outcome import clip_budget, extract_clip, failed
from extractors.corpus.output import MANIFEST_COLUMNS, Output
from extractors.corpus.run import CorpusError, Summary, in_processes, run
from extractors.media.probe import LIMITS
from extractors.schema import MODALITY_NAMES
from extractors.storage.feature_files import load
from extractors.workers.errors import WorkerError
from extractors.workers.pool import Pool
from tests.extractors.support.clips import every, grey, make_clip
from tests.extractors.support.processes import PATIENCE, wait_for, wait_until_gone
from tests.paths import ROOT

CLIPS = 8
KILLS = 10


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Short films without sound or face, for which no model of speech or text is needed, and one that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for index in range(CLIPS):
        parent = folder / f"part{index % 2}"
        parent.mkdir(exist_ok=True)
        make_clip(parent / f"film {index}.mp4", frames=every(0.5 + index / 10, grey(20 * index)))
    (folder / "part0" / "broken.mp4").write_bytes(b"not a video")
    (folder / "part0" / ".hidden.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("no clip")
    return folder


def command(source, out, *options, workers=2, module="extractors.corpus"):
    return [sys.executable, "-m", module, str(source), "--out", str(out), "--workers", str(workers), *options]


def complete(source, out, *options, **named):
    done = subprocess.run(
        command(source, out, *options, **named), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def undisturbed(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    return out, complete(clips, out)


def files_of(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def assert_same_output(out, expected):
    """Same files, same tables, equal arrays."""
    assert files_of(out) == files_of(expected)
    for name in ("manifest.csv", "failures.jsonl"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    for path in (expected / "features").iterdir():
        one, two = load(out / "features" / path.name), load(path)
        for name in MODALITY_NAMES:
            for array in ("values", "start", "end", "valid"):
                assert np.array_equal(getattr(one.modality(name), array), getattr(two.modality(name), array))


def count(summary, name):
    """Read a line of a printed summary."""
    return next(line[14:].split()[0] for line in summary.splitlines() if line[:14].strip() == name)


def test_a_folder_becomes_features_failures_and_a_summary(clips, undisturbed):
    out, printed = undisturbed
    assert count(printed, "clips") == str(CLIPS + 1)
    assert count(printed, "done") == str(CLIPS)
    assert count(printed, "failed") == "1"
    assert "1 x This file is not a video or sound that can be read." in printed
    assert "x real time" in printed
    with (out / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert sorted(row["video"] for row in rows) == sorted(f"part{index % 2}/film {index}.mp4" for index in range(CLIPS))
    for row in rows:
        assert (row["audio_absent"], row["video_absent"]) == ("no audio stream", "no face found")
        features = load(out / row["features"])
        assert len(features.video.valid) == int(row["video_steps"]) >= 5
    (failure,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert failure["video"] == "part0/broken.mp4" and failure["kind"] == "media" and failure["detail"]
    total = sum(float(row["seconds"]) for row in rows)
    assert float(count(printed, "extracted")) == pytest.approx(total, abs=0.1)


@pytest.mark.slow
def test_ten_kills_lose_and_double_nothing(clips, undisturbed, tmp_path):
    """Killed while it starts, while it extracts and while it writes; then it goes on to the same output."""
    chance = random.Random(1111)
    features = tmp_path / "features"
    reached = []
    for kill in range(KILLS):
        process = subprocess.Popen(
            command(clips, tmp_path),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if kill % 3 == 0:
            time.sleep(chance.uniform(0.2, 2.5))
        else:  # soon after a clip more is there
            before = len(list(features.glob("*.safetensors")))
            wait_for(lambda before=before: len(list(features.glob("*.safetensors"))) > before, process)
            time.sleep(chance.uniform(0, 0.15))
        kill_group(process)
        names = [path.name for path in features.glob("*.safetensors")] if features.exists() else []
        for name in names:
            load(features / name)  # a file under its final name is complete
        reached.append(len(names))
    assert reached == sorted(reached), "features were lost"
    assert 0 < reached[KILLS // 2], "no kill hit the work"
    complete(clips, tmp_path)
    assert_same_output(tmp_path, undisturbed[0])
    assert not [name for name in files_of(tmp_path) if name.endswith(".tmp")]


def kill_group(process):
    """Kill a command and its workers without a warning, and wait until all are gone."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        assert process.poll() is not None
    process.communicate()
    wait_until_gone(family)


def test_half_written_files_of_a_killed_run_are_removed(clips, undisturbed, tmp_path):
    items = find(clips)
    output = Output(tmp_path, limits=LIMITS)
    ours = [item for item in items if Shard(1, 2).holds(item)]
    other = next(item for item in items if Shard(2, 2).holds(item))
    for path in (
        output.features / f".{ours[0].id}.safetensors.0a1b2c3d.tmp",
        output.failures / f".{ours[1].id}.json.0a1b2c3d.tmp",
        output.features / f".{other.id}.safetensors.0a1b2c3d.tmp",
        output.folder / ".manifest.csv.0a1b2c3d.tmp",
    ):
        path.write_bytes(b"half")
    output.clean(ours, Shard(1, 2))  # another shard may be at work on the other two
    assert len(files_of(tmp_path)) == 2
    output.clean(items, Shard())
    assert files_of(tmp_path) == []


def test_shards_add_up_and_a_second_run_does_nothing(clips, undisturbed, tmp_path):
    items, output = find(clips), Output(tmp_path, limits=LIMITS)
    first = complete(clips, tmp_path, "--shard", "1/2", workers=1)
    second = run(items, output, in_processes(1, seconds=PATIENCE), shard=Shard(2, 2))
    assert 0 < int(count(first, "clips")) == CLIPS + 1 - second.clips < CLIPS + 1
    assert_same_output(tmp_path, undisturbed[0])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").iterdir()}
    third = run(items, output, pretend())
    assert (third.done, third.there, third.failed_before) == (0, CLIPS, 1)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "features").iterdir()}
    assert_same_output(tmp_path, undisturbed[0])


def test_a_worker_process_whose_native_code_crashes_costs_one_clip(tmp_path):
    """A real worker, ended by a signal in the middle of a long clip."""
    clips = tmp_path / "clips"
    clips.mkdir()
    make_clip(clips / "a long one.mp4", frames=every(100, grey(60), fps=10), fps=10)
    make_clip(clips / "b.mp4", frames=every(0.5, grey(60)))
    out = tmp_path / "out"
    process = subprocess.Popen(command(clips, out, workers=1), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    parent = psutil.Process(process.pid)

    def busy():
        """Whether a worker is in the middle of a clip: MediaPipe's libraries are mapped."""
        for child in parent.children():
            if "mediapipe" in Path(f"/proc/{child.pid}/maps").read_text():
                return child
        return None

    wait_for(busy, process).send_signal(signal.SIGSEGV)
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "1 x This clip made the extraction crash." in printed and count(printed, "done") == "1"
    (failure,) = map(json.loads, (out / "failures.jsonl").read_text().splitlines())
    assert failure["video"] == "a long one.mp4" and failure["kind"] == "crash"
    assert failure["detail"].startswith("SIGSEGV during")


@pytest.fixture
def ctrl_c_counts():
    """Let processes started now take SIGINT, which a job in the background of a shell ignores, and so its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_counts")
def test_ctrl_c_ends_with_a_sentence(clips, tmp_path):
    process = subprocess.Popen(
        command(clips, tmp_path), cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    parent = psutil.Process(process.pid)
    wait_for(lambda: len(parent.children()) >= 2, process)
    family = parent.children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Interrupted. The same command goes on from here." in printed and "Traceback" not in printed
    wait_until_gone(family)


def test_workers_end_with_their_parent(clips, tmp_path):
    """Even in the middle of a clip, and though only the parent is killed."""
    process = subprocess.Popen(command(clips, tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    parent = psutil.Process(process.pid)
    wait_for(lambda: len(parent.children()) >= 2, process)
    family = parent.children(recursive=True)
    process.kill()
    process.wait()
    wait_until_gone(family)


# --- states and outcomes, with outcomes given by the test ---


def pretend(*given):
    """Return outcomes in the order of the tasks."""

    def outcomes(tasks):
        yield from ((task["id"], outcome) for task, outcome in zip(tasks, given, strict=True))

    return outcomes


@pytest.fixture
def one(tmp_path):
    """One clip and an output folder."""
    clip = tmp_path / "in" / "a.mp4"
    clip.parent.mkdir()
    make_clip(clip, frames=every(0.5, grey(60)))
    return find(clip.parent), Output(tmp_path / "out", limits=LIMITS)


def test_failures_are_kept_until_retried(one):
    items, output = one
    bad = failed("error", "It broke.")
    assert run(items, output, pretend(bad)).failed == Counter({"It broke.": 1})
    again = run(items, output, pretend())
    assert (again.failed_before, again.failed.total()) == (1, 0)
    retried = run(items, output, pretend(bad), retry_failed=True)
    assert (retried.failed_before, retried.failed.total()) == (0, 1)
    assert len((output.folder / "failures.jsonl").read_text().splitlines()) == 1
    assert run(items, output, in_processes(1, seconds=PATIENCE), retry_failed=True).done == 1
    assert (output.folder / "failures.jsonl").read_text() == "" and not list(output.failures.iterdir())


def test_what_has_changed_is_made_anew(one, caplog):
    (item,), output = one
    work = in_processes(1, seconds=PATIENCE)
    assert run([item], output, work).done == 1
    features = output.features / f"{item.id}.safetensors"
    os.utime(item.path)  # another date, same content
    assert run([item], output, pretend()).there == 1
    content = bytearray(features.read_bytes())
    content[-1] ^= 1
    features.write_bytes(content)
    assert output.state(item) == "new" and "damaged" in caplog.text
    assert run([item], output, work).done == 1
    make_clip(item.path, frames=every(0.8, grey(60)))
    assert output.state(item) == "new"
    other = Item(id=item.id, video=item.video, path=item.path, transcript="good")
    assert run([other], output, pretend(failed("error", "It broke."))).failed.total() == 1
    assert not features.exists(), "features of another transcript stand beside a failure"
    item.path.write_bytes(b"repaired?")
    assert output.state(other) == "new"


def test_features_win_over_a_failure_where_a_run_was_killed_between(one):
    (item,), output = one
    assert run([item], output, in_processes(1, seconds=PATIENCE)).done == 1
    output.add_failure(item, failed("crash", "It broke."))
    output.merge()
    assert (output.folder / "failures.jsonl").read_text() == ""
    assert run([item], output, pretend()).there == 1
    assert not list(output.failures.iterdir())


def test_what_is_no_clips_fault_ends_the_run(one):
    items, output = one
    with pytest.raises(CorpusError, match="disk is full"):
        run(items, output, pretend({"status": "fatal", "reason": "The disk is full."}))
    assert output.state(items[0]) == "new"


def test_a_time_limit_is_a_failure_with_its_reason(one):
    items, output = one
    summary = run(items, output, in_processes(1, seconds=0.05))
    assert summary.failed == Counter({"This clip took longer than 0.05 s and was stopped.": 1})
    (failure,) = map(json.loads, (output.folder / "failures.jsonl").read_text().splitlines())
    assert failure["kind"] == "timeout"


def test_processes_that_cannot_start_end_the_run(one, monkeypatch):
    items, output = one
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="ended before it began"):
        run(items, output, in_processes(1, seconds=PATIENCE))
    assert output.state(items[0]) == "new"


@pytest.fixture
def pool():
    made = Pool(1, threads=1)
    yield made
    made.close()


def test_what_comes_of_a_clip(one, pool, monkeypatch):
    (item,), output = one
    task = output.task(item)

    def outcome(**changes):
        return extract_clip({**task, **changes}, pool=pool, budget=clip_budget(PATIENCE))

    assert outcome()["status"] == "done"
    wordless = outcome(transcript="!?")
    assert (wordless["kind"], wordless["reason"][:30]) == ("transcript", "The transcript holds no word. ")
    assert outcome(path=str(output.folder / "gone.mp4"))["kind"] == "media"
    missing = outcome(encoder=str(output.folder / "gone"))
    assert missing["status"] == "fatal" and "gone" in missing["reason"]
    unwritten = outcome(output=str(output.folder / "gone" / "a.safetensors"))
    assert unwritten["status"] == "fatal" and unwritten["reason"].startswith("Features cannot be written: ")


def test_the_summary_lists_reasons():
    text = str(Summary(clips=30, failed=Counter({f"Reason {n}.": n + 1 for n in range(12)}), failed_before=2))
    assert "12 x Reason 11." in text and "2 more reasons: see failures.jsonl" in text and "--retry-failed" in text


# --- what a corpus is ---


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_gives_paths_and_transcripts(tmp_path):
    (tmp_path / "lists").mkdir()
    outside = make_clip(tmp_path / "far.mp4", frames=every(0.2, grey(9)))
    table = (
        f'\ufeffvideo,transcript\nb.mp4,"so, it is"\n./sub/../a.mp4,\n../far.mp4,x\n{outside},x\nb.mp4,"so, it is"\n'
    )
    items = find(write(tmp_path / "lists" / "list.csv", table))
    assert {item.video: item.transcript for item in items} == {
        "b.mp4": "so, it is",
        "a.mp4": None,
        "../far.mp4": "x",
        str(outside): "x",
    }
    assert next(item for item in items if item.video == "a.mp4").path == tmp_path / "lists" / "a.mp4"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("video,text\na.mp4,x\n", r"columns unknown \['text'\], expected video"),
        ("transcript\nx\n", r"columns \['video'\] missing"),
        ("", r"columns \['video'\] missing"),
        ("video,video\na,b\n", "columns one twice"),
        ("video\n", "lists no video"),
        ("video,transcript\na.mp4\n", "line 2: 1 fields, expected 2"),
        ("video\n  \n", "line 2: '  ', expected the path"),
        ("video\n../gone.mp4\n", "line 2: '../gone.mp4' leaves the list's folder"),
        ("video\nx/../../..\n", "leaves the list's folder"),
        ("video\n/dev/null\n", "'/dev/null' leaves the list's folder and is no file"),
        ("video,transcript\na.mp4,x\na.mp4,y\n", "line 3: 'a.mp4' is listed again"),
        ('video\n"a\n', "is no CSV file"),
    ],
)
def test_a_list_that_cannot_be_used_is_a_sentence(tmp_path, capsys, monkeypatch, table, message):
    source = write(tmp_path / "list.csv", table)
    with pytest.raises(ItemsError, match=message):
        find(source)
    monkeypatch.setattr("sys.argv", ["corpus", str(source), "--out", str(tmp_path / "out")])
    assert corpus.main() == 1
    assert str(source) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_source_no_clip_no_text(tmp_path):
    with pytest.raises(ItemsError, match="no such folder or list"):
        find(tmp_path / "gone")
    with pytest.raises(ItemsError, match="no video or sound in this folder"):
        find(tmp_path)
    (tmp_path / "list.csv").write_bytes(b"video\n\xff\xfe.mp4\n")
    with pytest.raises(ItemsError, match="UTF-8"):
        find(tmp_path / "list.csv")


def test_a_clip_that_is_listed_but_gone_fails_alone(tmp_path):
    items = find(write(tmp_path / "list.csv", "video\ngone.mp4\n"))
    summary = run(items, Output(tmp_path / "out", limits=LIMITS), in_processes(1, seconds=PATIENCE))
    assert summary.failed == Counter({"There is no such file.": 1})


def test_ids_are_stable_and_safe():
    assert item_id("a/film 1.mp4") == "film_1-fbb3e085f9b8ec9f1ce4"
    names = ["a.mp4", "A.mp4", "b/a.mp4", "../a.mp4", "-", "\udcff.mp4", "x" * 300, "ünï.mp4"]
    ids = [item_id(name) for name in names]
    assert len({name.lower() for name in ids}) == len(names)
    assert all(len(name) < 100 and set(name) <= set(map(chr, range(45, 123))) - set("/:;<=>?@[\\]^`.") for name in ids)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_is_none(text):
    with pytest.raises(ItemsError, match="expected i/n with 1 <= i <= n"):
        Shard.parse(text)


def test_shards_split_evenly():
    items = [Item(id=item_id(f"{n}.mp4"), video=f"{n}.mp4", path=Path(f"{n}.mp4")) for n in range(400)]
    sizes = [sum(Shard(index, 4).holds(item) for item in items) for index in (1, 2, 3, 4)]
    assert sum(sizes) == 400 and min(sizes) > 70


# --- Ray ---


def test_ray_gives_the_same_output(clips, undisturbed, tmp_path):
    pytest.importorskip("ray", reason="ray is optional: pip install -r extractors/corpus/requirements.txt")
    printed = complete(clips, tmp_path, module="extractors.corpus.cluster")
    assert count(printed, "done") == str(CLIPS) and count(printed, "failed") == "1"
    assert_same_output(tmp_path, undisturbed[0])
