"""Reading a clip: one guarded way to open a file, its audio, its video frames, and a probe."""
