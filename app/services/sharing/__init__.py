"""What a link or a session keeps of a view: query parameters, pinned results."""
