"""Downloads of a result: report, images, data."""
