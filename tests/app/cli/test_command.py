"""The command `alignmamba`: each subcommand hands over to the part that does the work."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import jsonschema
import pytest
from typer.testing import CliRunner

from alignmamba.result import schema
from app.cli.command import cli
from tests.paths import ROOT, SAMPLES

CLIP = SAMPLES / "positive.webm"


def run(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def test_the_help_lists_every_subcommand():
    shown = run("--help").output
    assert all(
        f"\n  {name} " in shown for name in ("demo", "analyse", "batch", "extract", "corpus", "models", "doctor")
    )


@pytest.mark.parametrize(("name", "option"), [("extract", "--audio-track"), ("corpus", "--retry-failed")])
def test_options_are_those_of_the_module(name, option):
    shown = run(name, "--help")
    assert shown.exit_code == 0 and option in shown.output and f"usage: alignmamba {name}" in shown.output


def test_the_command_starts_without_the_libraries_of_the_models():
    code = "import sys, app.cli.command; print([m for m in ('torch', 'streamlit', 'av', 'cv2') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_two_formats_are_refused():
    refused = run("analyse", CLIP, "--json", "--html")
    assert refused.exit_code == 2 and "--json and --html" in refused.output


def test_a_file_that_is_no_clip_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7 and so on")
    refused = run("analyse", tmp_path / "letter.pdf")
    assert refused.exit_code == 1
    assert "it holds a PDF document" in refused.output and "Traceback" not in refused.output


@pytest.mark.parametrize("command", ["analyse", "extract"])
def test_a_file_where_words_are_expected_is_not_scored_as_words(command, tmp_path):
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:02,000\nWhat a day.\n")
    refused = run(command, CLIP, "--transcript", words)
    said = " ".join(refused.output.split())
    assert refused.exit_code == 2 and "is a file, expected words; --captions reads a file" in said


def test_captions_of_any_size_are_not_read_whole(tmp_path):
    huge = tmp_path / "huge.srt"
    with huge.open("wb") as file:
        file.truncate(10**12)  # sparse
    refused = run("analyse", CLIP, "--captions", huge)
    assert refused.exit_code == 1 and "more than 2 MB" in refused.output


def test_a_clip_as_json_csv_page_and_text(tmp_path):
    """One process for all four, so that the models are loaded once."""
    made = {}
    for form in ("json", "csv", "html", "text"):
        out = tmp_path / form
        flags = [] if form == "text" else [f"--{form}"]
        done = run("analyse", CLIP, *flags, "--transcript", "What a wonderful day it was.", "--out", out)
        assert done.exit_code == 0, done.output
        made[form] = out.read_bytes()
    document = json.loads(made["json"])
    jsonschema.validate(document, schema())
    assert document["prediction"]["score"] > 0
    (row,) = csv.DictReader(made["csv"].decode("utf-8-sig").splitlines())
    assert float(row["score"]) == pytest.approx(document["prediction"]["score"], abs=1e-3)
    assert row["file"] == CLIP.name and row["sha256"] == document["clip"]["sha256"]
    assert made["html"].startswith(b"<!") and b"wonderful" in made["html"]
    assert b"wonderful" in made["text"] and made["text"].startswith(b"+")


def test_nothing_but_the_result_is_on_standard_output():
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "analyse", str(CLIP), "--json", "--transcript", "It was good."],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["transcript"]["words"]
    assert done.stderr == ""
