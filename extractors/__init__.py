"""Feature extraction from clips: audio by openSMILE, video by MediaPipe, text by Whisper and a BERT encoder."""
