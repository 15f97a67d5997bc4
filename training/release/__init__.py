"""Making and measuring the checkpoint that ships."""
