"""One visitor's session: the last result and the features that may be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from app.services.analysis import Analysis, Clip

if TYPE_CHECKING:
    from extractors.schema import ClipFeatures

KEPT_CLIPS = 4  # whose features a visitor keeps; about a megabyte each


class RecentFeatures:
    """Features of one visitor's last few clips, so that asking again need not extract again; never on disk."""

    def __init__(self) -> None:
        self._features: OrderedDict[tuple[str, str | None], ClipFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._features)

    def get(self, clip: Clip) -> ClipFeatures | None:
        """Return the features of a clip of this content, if they are still kept."""
        features = self._features.get(clip.content)
        if features is not None:
            self._features.move_to_end(clip.content)
        return features

    def keep(self, clip: Clip, features: ClipFeatures) -> None:
        """Keep a clip's features; the clip asked for longest ago makes room."""
        self._features[clip.content] = features
        while len(self._features) > KEPT_CLIPS:
            self._features.popitem(last=False)


@dataclass
class Session:
    """One visitor's state.

    Attributes:
        greeted: Whether a first result was shown.
        analysis: The last good result.
        problem: What went wrong since.
        remark: What else is to be said of the result.
        kept: Features that may be asked for again.
    """

    greeted: bool = False
    analysis: Analysis | None = None
    problem: str | None = None
    remark: str | None = None
    kept: RecentFeatures = field(default_factory=RecentFeatures)


def current() -> Session:
    """Return this visitor's state."""
    return st.session_state.setdefault("session", Session())
