"""Annotation files of other tools: ELAN, Praat, Audacity, RTTM, WebVTT, OpenFace."""
