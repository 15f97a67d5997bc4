"""What is measured on speech: the times of words, and who speaks."""
