"""Recognised against true words: counted by hand on sentences with given transcripts."""

import pytest

from alignmamba import checkpoint
from training.release import asr_impact
from training.release.asr_impact import Spoken
from training.reporting import tables


@pytest.fixture(scope="module")
def trained():
    return checkpoint.load(tables.CHECKPOINT, calibrated=False)


def _spoken(said, recognised, score=None):
    return Spoken(said=tuple(said.split()), recognised=tuple(recognised.split()), seconds=2.0, score=score)


def test_words_are_compared_without_case_and_punctuation():
    assert asr_impact.plain(["It’s", "GOOD,", "-", "don't!"]) == "its good don't"


def test_equal_words_lose_nothing(trained):
    sentences = [_spoken("I LOVE THIS FILM", "i love this film", 2.0), _spoken("IT WAS BAD", "it was bad", -2.0)]
    row = asr_impact.row(trained, "made up", sentences)
    assert row["word_error_rate"] == 0 and row["score_difference_max"] == pytest.approx(0, abs=1e-5)
    assert row["mae_true"] == pytest.approx(row["mae_recognised"], abs=1e-5)
    assert row["acc2_non0_true"] == row["acc2_non0_recognised"] == 1.0


def test_a_misrecognised_word_costs(trained):
    recognised = [
        _spoken("I LOVE THIS FILM", "I hate this film.", 2.0),
        _spoken("IT WAS BAD", "It was bad.", -2.0),
        _spoken("NOBODY KNOWS THIS", "", 1.0),
    ]
    row = asr_impact.row(trained, "made up", recognised)
    assert (row["n"], row["nothing_heard"], row["seconds"]) == (2, 1, 4.0)
    assert row["word_error_rate"] == pytest.approx(1 / 7)
    assert row["sign_changed"] == 1
    assert (row["acc2_non0_true"], row["acc2_non0_recognised"]) == (1.0, 0.5)
    assert row["score_difference_max"] > 2


def test_without_scores_only_differences_are_reported(trained):
    row = asr_impact.row(trained, "read", [_spoken("it was good", "it was good")])
    assert "mae_true" not in row and row["score_difference_mean"] == pytest.approx(0, abs=1e-5)
    with pytest.raises(ValueError, match="no word was recognised in 1 recordings"):
        asr_impact.row(trained, "silence", [_spoken("a", "")])


def test_the_sample_is_drawn_once_for_all(tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    lines = [f"id{n},v,{n},SENTENCE NUMBER {n},{n % 3 - 1},{'test' if n % 2 else 'train'}" for n in range(40)]
    (text / "mosi_label.csv").write_text("\n".join(["id,video_id,clip_id,text,label,mode", *lines]))
    for name in ("stsa.fine.train", "stsa.fine.dev", "stsa.fine.test"):
        (text / name).write_text("0 bad\n")
    for name in ("movie", "amazon"):
        (text / f"{name}ReviewSnippets_GroundTruth.txt").write_text("1\t2.0\tgood\n")
    drawn = asr_impact.sample(tmp_path, count=10)
    assert drawn == asr_impact.sample(tmp_path, count=10) and len(set(drawn)) == 10
    assert drawn != asr_impact.sample(tmp_path, count=10, seed=1)
    assert all(int(said.split()[-1]) % 2 for said, _ in drawn)
    with pytest.raises(ValueError, match="count: 21, expected at most 20"):
        asr_impact.sample(tmp_path, count=21)


def test_transcriptions_of_readings_are_parsed():
    found = asr_impact.TRANSCRIPTION.fullmatch("<s> he was not ill </s> (sense_and_sensibility_01-0880)")
    assert (found["said"], found["name"]) == ("he was not ill", "0880")
    assert asr_impact.TRANSCRIPTION.fullmatch("no marks") is None
