"""Downloads of a result; each file is made when its button is pressed, so that the buttons do not slow down a rerun."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Collection, Iterator
from types import ModuleType
from typing import Literal, NamedTuple

import streamlit as st

from alignmamba.modality import Modality
from app.i18n import wording
from app.i18n.translate import _, language, spoken_in
from app.services.analysis import Analysis


class Download(NamedTuple):
    """A file to download.

    Attributes:
        file: Its name.
        label: Of its button.
        mime: Its media type.
        icon: Of its button.
        make: Makes its content, in the current language.
    """

    file: str
    label: str
    mime: str
    icon: str
    make: Callable[[], bytes]


def buttons(analysis: Analysis, used: Collection[Modality], *, more: Callable[[], None] | None = None) -> None:
    """Show one menu with a download button for each file of a result.

    Args:
        analysis: Of a clip.
        used: The subset on screen, which files describe in full; an empty one stands for the largest.
        more: Shows what else the menu offers, first: its progress must be in view.
    """
    code = language()
    with st.popover(_("Export"), icon=":material/download:"):
        if more is not None:
            more()
        for download in downloads(analysis, frozenset(used) or analysis.available):
            st.download_button(
                download.label,
                _in_language(code, download.make),
                file_name=download.file,
                mime=download.mime,
                icon=download.icon,
                on_click="ignore",
                width="stretch",
                key=f"export-{download.file}-{analysis.number}",
            )


def downloads(analysis: Analysis, used: frozenset[Modality]) -> Iterator[Download]:
    """List the files of a result."""
    features = analysis.features
    yield Download(
        "report.html", _("Report (HTML)"), "text/html", ":material/article:", lambda: _report(analysis, used)
    )
    yield Download(
        "result.json", _("Result (JSON)"), "application/json", ":material/data_object:", lambda: _result(analysis, used)
    )
    if features.words:
        yield Download(
            "words.vtt", _("Words (WebVTT)"), "text/vtt", ":material/subtitles:", lambda: _subtitles(analysis)
        )
    if used and analysis.sentences:
        label = _("Sentences (CSV)")
        yield Download("sentences.csv", label, "text/csv", ":material/table_rows:", lambda: _sentences(analysis, used))
    yield from _annotations(analysis, used)
    if used:
        svg, png = _("Charts (SVG, zipped)"), _("Charts (PNG, zipped)")
        zipped = "application/zip"
        yield Download("charts-svg.zip", svg, zipped, ":material/image:", lambda: _charts(analysis, used, "svg"))
        yield Download("charts-png.zip", png, zipped, ":material/image:", lambda: _charts(analysis, used, "png"))
    for modality in wording.DISPLAY_ORDER:
        if len(features.modality(modality).values):
            yield Download(
                f"features-{modality}.csv",
                _("Features: {name} (CSV)").format(name=wording.name(modality).lower()),
                "text/csv",
                ":material/table:",
                lambda modality=modality: _features(analysis, modality),
            )


def _annotations(analysis: Analysis, used: frozenset[Modality]) -> Iterator[Download]:
    """List the files that annotation tools open."""
    icon = ":material/label:"
    if used and analysis.sentences:
        yield Download("tiers.eaf", _("Tiers (ELAN)"), "application/xml", icon, lambda: _make().elan(analysis, used))
        yield Download(
            "tiers.TextGrid", _("Tiers (Praat TextGrid)"), "text/plain", icon, lambda: _make().praat(analysis, used)
        )
        yield Download(
            "labels.txt", _("Labels (Audacity)"), "text/plain", icon, lambda: _make().audacity(analysis, used)
        )
        yield Download("speakers.rttm", _("Speakers (RTTM)"), "text/plain", icon, lambda: _make().rttm(analysis))
        yield Download(
            "scores.vtt",
            _("Sentences with scores (WebVTT)"),
            "text/vtt",
            icon,
            lambda: _make().captions(analysis, used),
        )
    zipped = "application/zip"
    if Modality.VIDEO in analysis.available:
        label = _("Face, columns as OpenFace's (CSV, zipped)")
        yield Download("face-openface.zip", label, zipped, icon, lambda: _make().face(analysis))
    if used:
        label = _("Tables (Parquet, zipped)")
        yield Download("tables-parquet.zip", label, zipped, icon, lambda: _make().parquet(analysis, used))


def _make() -> ModuleType:
    from app.export import annotations  # brings libraries that no page needs

    return annotations


def _in_language(code: str, make: Callable[[], bytes]) -> Callable[[], bytes]:
    """Keep the session's language for the request that fetches the file, which has no session."""

    def made() -> bytes:
        with spoken_in(code):
            return make()

    return made


def _report(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    from app.export import report  # brings the drawing library, which no page needs

    return report.html(analysis, used).encode()


def _result(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    from alignmamba.result import to_json

    return to_json(analysis.document(used or None)).encode()


def _subtitles(analysis: Analysis) -> bytes:
    from extractors.language.subtitles import to_webvtt

    return to_webvtt(analysis.features.words).encode()


def _sentences(analysis: Analysis, used: frozenset[Modality]) -> bytes:
    from app.export import sentences_csv

    return sentences_csv.to_csv(analysis, used)


def _charts(analysis: Analysis, used: frozenset[Modality], kind: Literal["svg", "png"]) -> bytes:
    from app.export import images

    packed = io.BytesIO()
    code = images.png_language() if kind == "png" else language()
    note = _("The labels are in English: the server has no font for this language.") if code != language() else ""
    with spoken_in(code), zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        if note:
            archive.writestr("note.txt", note)
        for image in images.render(analysis, used):
            archive.writestr(f"{image.name}.{kind}", image.svg() if kind == "svg" else image.png())
    return packed.getvalue()


def _features(analysis: Analysis, modality: Modality) -> bytes:
    from extractors.storage.csv_table import write_table

    text = io.StringIO(newline="")
    write_table(analysis.features, str(modality), text)
    return text.getvalue().encode()
