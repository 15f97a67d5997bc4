"""Video features (MediaPipe): landmarks, tracking, blendshapes, stills."""
