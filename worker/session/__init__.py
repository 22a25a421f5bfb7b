"""One session: its engine, its supervisor, and the loop that serves both."""
