"""What Streamlit's garbage collection after every run of the page has to look through."""

import subprocess
import sys

from tests.paths import APP, ROOT

MOST_OBJECTS = 20_000  # a page of Streamlit has a thousand; the loaded libraries have half a million
PROGRAM = f"""
import gc, time
from streamlit.testing.v1 import AppTest
from app.services import model

def looked_through():
    return len(gc.get_objects())

for thread in model.warm_up():
    thread.join()
deadline = time.monotonic() + 30
while not gc.get_freeze_count() and time.monotonic() < deadline:
    time.sleep(0.1)
print(looked_through())
for _ in range(2):
    AppTest.from_file({str(APP / "main.py")!r}, default_timeout=60).run()
    print(looked_through())
"""


def test_objects_of_loaded_libraries_are_not_among_it():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    counts = list(map(int, done.stdout.split()))
    assert len(counts) == 3
    assert max(counts) < MOST_OBJECTS, counts
