"""Who speaks when: voices as embeddings, and turns from them."""
