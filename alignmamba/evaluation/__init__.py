"""Measures shared by training and the app: metrics, missing-modality protocols, proxy A-distance."""
