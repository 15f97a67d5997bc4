"""What the documents say is what the result files say."""

import json

import pytest

from training import tables


@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=lambda path: path.parent.name)
def test_documents_show_the_committed_results(document):
    text = document.read_text(encoding="utf-8")
    assert tables.MARKED.search(text)
    assert tables.rendered(text) == text, "run `make tables`"


@pytest.mark.parametrize("name", sorted(name for name, (path, _) in tables.TABLES.items() if path.exists()))
def test_every_row_of_a_result_reaches_its_table(name):
    path, _ = tables.TABLES[name]
    result = json.loads(path.read_text(encoding="utf-8"))
    for key in ("name", "command", "commit", "date", "device", "cpu_count", "versions", "data_sha256", "seeds", "rows"):
        assert key in result
    lines = [line for line in tables.table(name).splitlines() if line.startswith("|")]
    if not name.startswith("scan"):
        assert len(lines) == 2 + len(result["rows"])


def test_a_changed_figure_makes_a_document_stale():
    text = "<!-- table:checkpoint -->\nold\n<!-- /table -->\n"
    fresh = tables.rendered(text)
    assert fresh != text
    assert tables.rendered(fresh) == fresh


def test_unknown_tables_are_named():
    with pytest.raises(ValueError, match="table: 'guess', expected one of"):
        tables.table("guess")
