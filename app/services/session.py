"""Session state: the last result and the features of the last few clips."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from app.services.analysis import Analysis, Clip

if TYPE_CHECKING:
    from app.services.jobs import Job
    from extractors.schema import ClipFeatures

FOLD = "fold-chooser"  # key of the session state: whether the next run folds the choice of clips away
KEPT_CLIPS = 4  # clips whose features a session keeps; about a megabyte each


class RecentFeatures:
    """The features of a session's last few clips, so that the same clip is not extracted twice; never on disk."""

    def __init__(self) -> None:
        self._features: OrderedDict[tuple[str, str | None], ClipFeatures] = OrderedDict()

    def get(self, clip: Clip) -> ClipFeatures | None:
        """Return the features of a clip with this content, or None."""
        features = self._features.get(clip.content)
        if features is not None:
            self._features.move_to_end(clip.content)
        return features

    def keep(self, clip: Clip, features: ClipFeatures) -> None:
        """Keep a clip's features; the least recently used clip makes room."""
        self._features[clip.content] = features
        while len(self._features) > KEPT_CLIPS:
            self._features.popitem(last=False)


@dataclass
class Session:
    """The state of one session.

    Attributes:
        greeted: Whether a first result was shown.
        analysis: The last good result.
        problem: Message of the last error since then.
        remark: Note on the result.
        job: Analysis that a part of the page has begun, and the page's next run shows (`progress.watch`).
        kept: Features of the last few clips.
        owner: Names the session among the owners of jobs.
    """

    greeted: bool = False
    analysis: Analysis | None = None
    problem: str | None = None
    remark: str | None = None
    job: Job | None = None
    kept: RecentFeatures = field(default_factory=RecentFeatures)
    owner: str = field(default_factory=secrets.token_hex)


def current() -> Session:
    """Return the state of this session."""
    return st.session_state.setdefault("session", Session())
