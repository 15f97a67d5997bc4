"""Settings that are refused, with the field and the value."""

import subprocess
import sys

import pytest

from alignmamba.config import ModelConfig
from tests.alignmamba.clips import AUDIO, VIDEO, config
from tests.paths import ROOT

WRONG = {
    "local": "exact",
    "scaling": "sum",
    "bandwidth": "fixed",
    "absent": "zero",
    "level": "word",
}


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_setting_outside_its_choices_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}: '{value}', expected one of "):
        ModelConfig.from_dict({**config().to_dict(), name: value})


def test_choices_are_refused_without_a_type_checker_too():
    """In a process of its own: under pytest, beartype refuses a wrong `Literal` before the class does."""
    program = (
        "from alignmamba.config import ModelConfig\n"
        f"for name, value in {WRONG}.items():\n"
        "    try: ModelConfig(audio_dim=1, video_dim=1, language_dim=1, **{name: value})\n"
        "    except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    refused = [line.split(", expected one of ")[0] for line in done.stdout.splitlines()]
    assert refused == [f"{name}: {value!r}" for name, value in WRONG.items()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width: 0, expected at least 1"),
        ({"dropout": 1.0}, "dropout: 1.0, expected a share"),
        ({"order": (AUDIO, AUDIO, VIDEO)}, "order: .*expected each"),
        ({"align_weight": -1.0}, "align_weight: -1.0, expected at least 0"),
    ],
)
def test_config_errors_name_field_and_value(change, message):
    with pytest.raises(ValueError, match=message):
        config(**change)
