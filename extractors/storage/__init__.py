"""Features on disk: safetensors files, a cache by content, CSV tables."""
