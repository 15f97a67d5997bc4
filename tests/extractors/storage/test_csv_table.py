from __future__ import annotations

import csv
import io

import numpy as np

from extractors.pipeline import SCHEMA
from extractors.schema import MODALITY_NAMES
from extractors.storage.csv_table import write_table
from tests.extractors.support.features import clip


def test_tables_are_tidy_and_exact():
    features = clip()
    for name in MODALITY_NAMES:
        stream = io.StringIO(newline="")
        write_table(features, name, stream)
        header, *rows = csv.reader(io.StringIO(stream.getvalue(), newline=""))
        words = name == "language"
        columns = getattr(SCHEMA, name).columns or tuple(f"language_{index}" for index in range(384))
        assert header == ["start", "end", "valid", *(["word"] if words else []), *columns]
        found = features.modality(name)
        assert [row[3] for row in rows] == ["one", "'=two", "drei,\n“4”"] if words else True
        values = np.array([row[3 + words :] for row in rows], np.float64).astype(np.float32)
        assert np.array_equal(values, found.values)
        assert np.allclose([float(row[0]) for row in rows], found.start, atol=1e-6)
        assert [row[2] for row in rows] == [str(int(valid)) for valid in found.valid]


def test_the_table_of_an_absent_modality_is_its_header():
    stream = io.StringIO(newline="")
    write_table(clip(texts=()), "language", stream)
    assert stream.getvalue().count("\n") == 1 and stream.getvalue().startswith("start,end,valid,word,language_0,")
