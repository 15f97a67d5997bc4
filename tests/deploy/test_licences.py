"""The page of licences is what the command writes, for everything that is pinned."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement

from deploy import licences
from deploy.packages import name_of, needed, pinned
from extractors.assets.registry import ASSETS
from tests.paths import ROOT

TEXT = licences.PAGE.read_text(encoding="utf-8")


def cells(text: str) -> list[list[str]]:
    rows = (line.strip("|").split("|") for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in row] for row in rows]


def test_the_page_is_current_for_the_pinned_packages():
    """Packages that follow from the pinned ones may differ between machines."""
    shown, made = ({row[0]: row[1:] for row in cells(text) if row[0] in pinned()} for text in (TEXT, licences.page()))
    assert shown == made, "run `make licences`"
    assert set(shown) == set(pinned())


def test_everything_else_on_the_page_is_current():
    assert TEXT.partition("## Packages")[0] == licences.page().partition("## Packages")[0], "run `make licences`"


def test_what_binds_to_research_comes_first():
    first = TEXT.partition("## Model files")[0]
    assert first.index("weights in `checkpoints/") < first.index("RAVDESS") < first.index("| opensmile")
    assert "opensmile" not in TEXT.partition("## Model files")[2]


def test_every_model_file_and_every_package_has_a_licence():
    assert set(licences.MODELS) == set(ASSETS)
    assert licences.UNSTATED not in TEXT
    assert len(cells(TEXT.partition("## Packages")[2])) > len(pinned())


def test_every_corpus_of_the_model_card_is_on_the_page():
    card = (ROOT / "checkpoints" / "alignmamba-open" / "README.md").read_text(encoding="utf-8")
    for corpus in (
        "CMU-MOSI",
        "MELD",
        "Stanford Sentiment Treebank",
        "RAVDESS",
        "SAVEE",
        "EmoDB",
        "ASED",
        "TurEV",
        "CK+",
    ):
        assert corpus in card
        assert corpus in TEXT


@pytest.mark.parametrize(
    ("package", "licence"),
    [("streamlit", "Apache-2.0"), ("tqdm", "MPL-2.0 AND MIT"), ("altair", "BSD"), ("jaxtyping", "MIT")],
)
def test_expression_name_or_classifier(package, licence):
    """Of an SPDX expression, of a name, of a notice, of a whole text."""
    assert licences.licence_of(needed([Requirement(package)])[package]) == licence


def test_needed_follows_requirements_with_their_extras():
    plain, more = needed([Requirement("jsonschema")]), needed([Requirement("jsonschema[format-nongpl]")])
    assert {"jsonschema", "attrs", "referencing"} <= set(plain) < set(more)
    assert name_of("rfc3339_validator") in more and "rfc3339-validator" not in plain
    with pytest.raises(PackageNotFoundError, match="no-such-package"):
        needed([Requirement("no-such-package")])
