"""From a clip to features: voice by openSMILE, face by MediaPipe, words by Whisper and a BERT encoder."""
