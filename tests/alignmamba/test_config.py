"""Settings that are refused, with the field and the value."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignmamba import checkpoint
from alignmamba.config import CONFIG, ModelConfig
from alignmamba.modeling.model import AlignMamba
from tests.alignmamba.clips import AUDIO, VIDEO, config
from tests.paths import ROOT

WRONG = {
    "local": "exact",
    "scaling": "sum",
    "bandwidth": "fixed",
    "absent": "zero",
    "level": "word",
    "anchor": "word",
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SIZE = st.integers(-1, 10**12) | st.sampled_from([2**31, 2**63, 2**64])


@settings(max_examples=300, deadline=None)
@given(changed=st.dictionaries(st.sampled_from([field.name for field in fields(ModelConfig)]), JSON | SIZE, min_size=1))
def test_settings_of_any_kind_are_settings_or_refused(changed):
    """As `alignmamba.checkpoint` reads them, which gives each of these errors its own type."""
    try:
        ModelConfig.from_dict({**config().to_dict(), **changed})
    except (ValueError, TypeError, AttributeError) as error:
        assert str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([checkpoint.WEIGHTS, CONFIG]),
    at=st.floats(0, 1, exclude_max=True),
    put=st.binary(max_size=20) | st.sampled_from([b"\xff" * 8, bytes(8), b"1e999", b"[" * 5000, b"null", b"-1"]),
    dropped=st.integers(0, 20),
)
def test_a_checkpoint_with_other_bytes_in_it_is_loaded_or_refused(tmp_path, name, at, put, dropped):
    checkpoint.save(tmp_path, AlignMamba(config()), schema={"audio": {}})
    content = (tmp_path / name).read_bytes()
    place = int(at * min(len(content), 3_000))  # the header of the weights
    (tmp_path / name).write_bytes(content[:place] + put + content[place + dropped :])
    try:
        checkpoint.load(tmp_path)
    except checkpoint.CheckpointError as error:
        assert str(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=JSON, key=st.sampled_from(["format", "model", "schema", "training", None]))
def test_a_config_of_any_json_is_refused(tmp_path, content, key):
    checkpoint.save(tmp_path, AlignMamba(config()), schema={"audio": {}})
    path = tmp_path / CONFIG
    whole = json.loads(path.read_text())
    changed = content if key is None else {**whole, key: content}
    path.write_text(json.dumps(changed))
    try:
        loaded = checkpoint.load(tmp_path)
    except checkpoint.CheckpointError as error:
        assert str(error)
    else:
        assert changed["format"] == whole["format"] and isinstance(loaded.schema, dict)
