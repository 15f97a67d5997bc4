"""Text features: speech recognition, transcripts, subtitles, and a BERT-like encoder."""
