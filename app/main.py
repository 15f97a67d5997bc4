"""Entry point: `streamlit run app/main.py`.

The server imports this file once and takes `app`: the screen together with the HTTP interface. Streamlit then runs the
file as a script, under the name `__main__`, for every view of the screen.
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

from app.i18n import translate
from app.i18n.translate import N_, _
from app.services import errors, model

ICON = Path(__file__).with_name("icon.svg")

# The menu in order: module in app_pages -> title, icon. The first page is the default.
PAGES = {
    "analyse": (N_("Analyse"), "movie"),
    "alignment": (N_("Alignment"), "link"),
    "robustness": (N_("Robustness"), "visibility_off"),
    "compare": (N_("Compare"), "compare"),
    "batch": (N_("Batch"), "video_library"),
    "results": (N_("Results"), "query_stats"),
    "about": (N_("About"), "info"),
}
HELP = {
    "analyse": N_("Sentiment of one clip from words, voice and face, and which moments the model aligned."),
    "alignment": N_("Which moments of voice and face were aligned to which word, and at what cost."),
    "robustness": N_("What remains of the score when modalities, moments or words are missing, or the sound is noisy."),
    "compare": N_("Two clips or two checkpoints side by side, word by word; and pinned results."),
    "batch": N_("Many clips in one table: scores by speaker, and what a missing modality changes."),
    "results": N_("What was measured with this project, from its own files, and what the paper reports."),
    "about": N_("How it works, the model card, limits, licences and privacy."),
}


def screen() -> None:
    """Show the page that was chosen in the menu."""
    st.set_page_config(page_title="AlignMamba", page_icon=str(ICON), layout="wide", initial_sidebar_state="collapsed")
    model.warm_up()
    # The menu at the side: settings that are seldom changed take no room on the page.
    with st.sidebar:
        translate.choose_language()
    pages = [
        st.Page(
            f"app_pages/{name}.py",
            title=_(title),
            icon=f":material/{icon}:",
            help=_(HELP[name]),
            default=name == next(iter(PAGES)),
        )
        for name, (title, icon) in PAGES.items()
    ]
    page = st.navigation(pages, position="top")
    with errors.plain_sentences():
        page.run()
    model.freeze_loaded()


if __name__ == "__main__":
    screen()
else:
    model.warm_up()  # the worker process starts while this one imports the server's parts
    from app.api import endpoints

    app = st.App(
        Path(__file__).resolve(),
        routes=endpoints.routes(),
        middleware=endpoints.middleware(),
        lifespan=endpoints.lifespan,
    )
