"""The command `alignmamba batch`: a folder with good and bad files, and what is written."""

from __future__ import annotations

import csv

from app.cli import many
from tests.app.app_pages.test_analyse import movie
from tests.app.cli.test_command import run
from tests.paths import SAMPLES


def read(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_clips_and_lists_are_found_and_links_and_hidden_files_are_not(tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("anna/b.mp4", "a.webm", "list.csv", "notes.txt", ".hidden.mp4", ".git/c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to("/etc/passwd")
    found = [file.name.partition("/")[2] for file in many.files(tmp_path)]
    assert found == ["a.webm", "anna/b.mp4", "list.csv"]
    assert [file.name for file in many.files(tmp_path / "a.webm")] == ["a.webm"]


def test_a_folder_becomes_a_row_a_clip_and_a_bad_one_loses_nothing(tmp_path):
    clips = tmp_path / "clips"
    (clips / "anna").mkdir(parents=True)
    (clips / "anna" / "face.webm").write_bytes((SAMPLES / "no-sound.webm").read_bytes())
    (clips / "bad.mp4").write_bytes(b"%PDF-1.7 and so on")
    (clips / "grey.mp4").write_bytes(movie(seconds=1))
    (clips / "list.csv").write_text("file,speaker,label\ngrey.mp4,Ben,1\n")
    done = run("batch", clips, "--out", tmp_path / "out.csv", "--missing", tmp_path / "missing.csv")
    assert done.exit_code == 0, done.output
    rows = read(tmp_path / "out.csv")
    assert [(row["file"], row["status"], row["speaker"], row["label"]) for row in rows] == [
        ("clips/anna/face.webm", "done", "anna", ""),
        ("clips/bad.mp4", "failed", "clips", ""),
        ("clips/grey.mp4", "done", "Ben", "1.0"),
    ]
    assert float(rows[0]["score_v"]) == float(rows[0]["score"])
    assert "a PDF document" in rows[1]["error"]
    assert "clips/grey.mp4: nothing to predict from" in done.output
    assert not read(tmp_path / "missing.csv"), "no clip has two modalities"
