"""Real people left out of training, in the made-up world."""

import json
from dataclasses import replace

import pytest
import torch

from alignmamba.batch import ModalitySteps
from alignmamba.calibration import Uncertainty
from alignmamba.modality import Modality
from training.release import ablation, unseen_people
from training.release.train import fit_readouts
from training.reporting import tables


def test_a_person_is_left_out_measured_once_and_read_again(corpora, config, settings, tmp_path, monkeypatch):
    seen = []
    train = unseen_people.train

    def watched(corpora, *rest, **named):
        seen.append({pair.person for pair in corpora.pairs})
        return train(corpora, *rest, **named)

    monkeypatch.setattr(unseen_people, "train", watched)
    short = replace(settings, epochs=1)
    clips = unseen_people.leave_out(corpora, "2", config, settings=short, folder=tmp_path)
    again = unseen_people.leave_out(corpora, "2", config, settings=short, folder=tmp_path)
    assert seen == [{"1", "6", "7"}] and again == json.loads(json.dumps(clips))
    assert {clip["person"] for clip in clips} == {"2"} and len(clips) == 6


def test_figures_are_over_all_people_together(corpora, trained):
    model, _, _ = trained
    clips = unseen_people.measure(model, corpora, corpora.pairs)
    calibration = dict.fromkeys(
        unseen_people.MEASURED, Uncertainty(temperature=2.0, below=1.0, above=1.0, coverage=0.8)
    )
    *rows, matching = unseen_people.rows(clips, calibration=calibration)
    assert {row["modalities"] for row in rows} == {"av", "a", "v"}
    for row in rows:
        assert (row["n"], row["neutral_n"], row["people"]) == (16, 8, 4)
        assert row["auc"] > 0.8, row["modalities"]
        assert set(row["auc_per_person"]) == {"1", "2", "6", "7"}
        assert 0 <= row["neutral_within_share"] <= 1 and row["ece"] != row["ece_before"]
    assert matching["near_share"]["trained"] > matching["near_share"]["chance"]  # the time term finds the moment
    assert len(tables.checkpoint_tables.unseen_people_table({"rows": [*rows, matching]}).splitlines()) == 6


def test_chance_is_counted_from_the_times():
    def steps(*seconds):
        return ModalitySteps(
            torch.zeros(len(seconds), 1), torch.ones(len(seconds), dtype=torch.bool), torch.tensor(seconds)
        )

    clip = {Modality.AUDIO: steps(0.05, 0.55), Modality.VIDEO: steps(0.05, 0.15, 0.25, 0.35)}
    assert unseen_people.uniform(clip) == pytest.approx((3 + 1) / 8)


def test_content_that_is_equal_finds_the_moment(corpora, trained):
    """With a strong time term every step is matched to the simultaneous one."""
    model, _, _ = trained
    strong = type(model)(replace(model.config, time_weight=1000.0))
    strong.load_state_dict(model.state_dict())
    (clip,) = unseen_people.clips_of(model, corpora, corpora.pairs[:1])
    assert unseen_people.matched(strong.eval(), clip) == 1.0


def test_a_variant_of_the_ablation_is_measured(corpora, config, settings):
    short = replace(settings, epochs=1)
    variant = ablation.VARIANTS["without real pairs"]
    read = fit_readouts(ablation.left_in(corpora).split("train"))
    found = ablation.measure(corpora, corpora.split("test").voices, config, short, variant, read=read)
    assert set(found) == {
        "validation_mae", "acc2_non0", "mae", "corr", "voice_balanced", "voice_balanced_8_khz", "video_auc",
        "both_auc", "near_share",
    }  # fmt: skip
    assert all(0 <= found[key] <= 1 for key in ("video_auc", "both_auc", "near_share", "voice_balanced"))
