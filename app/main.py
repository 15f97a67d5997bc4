"""Entry point: `streamlit run app/main.py`.

Streamlit reads this file twice: the server imports it once and takes `app`, the screen with the HTTP interface beside
it; then each visit of the screen runs it anew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Threads of torch that wait for each other sleep instead of spinning: extraction and prediction share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Streamlit puts this file's folder on the path, not the repository, which holds `app`, `alignmamba` and `extractors`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.i18n import translate
from app.i18n.translate import _
from app.services import errors, model


def screen() -> None:
    """Show the page that the visitor has chosen."""
    st.set_page_config(page_title="AlignMamba", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
    model.warm_up()

    with st.container(horizontal=True, horizontal_alignment="right"):
        translate.choose_language()

    # Every page joins here, in the order of the menu.
    pages = [
        st.Page(
            "app_pages/analyse.py",
            title=_("Analyse"),
            icon=":material/movie:",
            help=_("Sentiment of one clip from words, voice and face, and which moments the model paired."),
            default=True,
        ),
        st.Page(
            "app_pages/alignment.py",
            title=_("Alignment"),
            icon=":material/link:",
            help=_("Which moments of voice and face were matched to which word, and at what cost."),
        ),
        st.Page(
            "app_pages/robustness.py",
            title=_("Robustness"),
            icon=":material/visibility_off:",
            help=_("What remains of the score when senses, moments or words are missing, or the sound is noisy."),
        ),
        st.Page(
            "app_pages/compare.py",
            title=_("Compare"),
            icon=":material/compare:",
            help=_("Results put aside, side by side: other clips, other senses, other checkpoints."),
        ),
        st.Page(
            "app_pages/batch.py",
            title=_("Batch"),
            icon=":material/video_library:",
            help=_("Many clips, one after the other, in one table."),
        ),
        st.Page(
            "app_pages/results.py",
            title=_("Results"),
            icon=":material/query_stats:",
            help=_("What was measured with this project, from its own files, and what the paper reports."),
        ),
        st.Page(
            "app_pages/about.py",
            title=_("About"),
            icon=":material/info:",
            help=_("How it works, the model card, limits, licences and privacy."),
        ),
    ]
    page = st.navigation(pages, position="top")
    with errors.plain_sentences():
        page.run()


if get_script_run_ctx(suppress_warning=True) is None:
    from app.api import endpoints

    app = st.App(Path(__file__).resolve(), routes=endpoints.routes(), lifespan=endpoints.lifespan)
else:
    screen()
