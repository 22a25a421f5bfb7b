"""The sandboxed side: the spawner, the resolver, and one worker process per session."""
