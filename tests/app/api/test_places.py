"""Places for uploads are bounded."""

from __future__ import annotations

import pytest

from app.api.places import NoPlaceError, Places


def test_uploads_are_counted_per_client_in_all_and_in_bytes():
    places = Places(in_all=3, per_client=2, held_bytes=100)
    with places.upload("a"), places.upload("a"):
        with pytest.raises(NoPlaceError, match="of yours"), places.upload("a"):
            pass
        with places.upload("b"), pytest.raises(NoPlaceError, match="3 clips are"), places.upload("c"):
            pass
    with places.upload("a"), places.held(60), pytest.raises(NoPlaceError, match="memory"), places.held(50):
        pass
    with places.held(100):
        pass
