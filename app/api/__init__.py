"""The HTTP interface beside the screen."""
