"""Feature extraction from clips: audio by openSMILE, video by MediaPipe, text by Whisper and a BERT encoder."""

import os

# Read when onnxruntime loads, which every module here that needs it does later: else it sends usage data to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
