"""Entry point: `streamlit run app/main.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Threads of torch that wait for each other sleep instead of spinning: extraction and prediction share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Streamlit puts this file's folder on the path, not the repository, which holds `app`, `alignmamba` and `extractors`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import streamlit as st

from app import state, translate
from app.translate import _

st.set_page_config(page_title="AlignMamba", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
state.warm_up()

with st.container(horizontal=True, horizontal_alignment="right"):
    translate.choose_language()

# Every page joins here, in the order of the menu.
PAGES = [
    st.Page(
        "pages/analyse.py",
        title=_("Analyse"),
        icon=":material/movie:",
        help=_("Sentiment of one clip from words, voice and face, and which moments the model paired."),
        default=True,
    ),
]
page = st.navigation(PAGES, position="top")
with state.plain_sentences():
    page.run()
