"""Charts as they are kept and sent: their tables beside them, whatever other sessions render."""

import altair as alt
import pandas as pd
import pytest

from app.charts.alignment_table import MAX_CELLS
from app.components import chart_cache

MANY = pd.DataFrame({"x": range(MAX_CELLS), "cost": [0.5] * MAX_CELLS})
FEW = pd.DataFrame({"x": [1.0, None], "word": ["a", "b"]})


def layered():
    encoded = alt.Chart(MANY).mark_rect().encode(x="x:Q", color="cost:Q")
    return alt.layer(encoded, alt.Chart(FEW).mark_rule().encode(x="x:Q"), encoded)


@pytest.mark.parametrize("transformer", ["default", "json"])
def test_a_table_of_any_length_stands_beside_its_chart(transformer):
    with alt.data_transformers.enable(transformer):
        plain = chart_cache._specification(layered())
    names = [layer["data"]["name"] for layer in plain["layer"]]
    assert names[0] == names[2] != names[1]
    assert plain["datasets"][names[0]] is MANY and plain["datasets"][names[1]] is FEW
    assert len(plain["datasets"]) == 2


def test_other_rows_make_another_chart():
    made = [
        chart_cache._specification(alt.Chart(table).mark_rule().encode(x="x:Q")) for table in (FEW, FEW.copy(), MANY)
    ]
    names = [plain["data"]["name"] for plain in made]
    assert names[0] == names[1] != names[2]


def test_a_table_of_all_layers_is_named_once():
    base = alt.Chart(FEW).encode(x="x:Q")
    plain = chart_cache._specification(alt.layer(base.mark_rule(), base.mark_text().encode(text="word:N")))
    assert list(plain["datasets"]) == [plain["data"]["name"]]
