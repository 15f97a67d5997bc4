"""Corpora that the checkpoint is trained on: sentences, acted speech, faces, and real pairs of face and voice.

None of the corpora has all three modalities; `training.release.compose` joins them by class.
"""
