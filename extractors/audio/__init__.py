"""Audio features (openSMILE) and voice activity (Silero)."""
