"""Parts of pages: widgets, players and views that draw on the screen."""
