"""Parts of a result: sentences, annotations, spans of time."""
