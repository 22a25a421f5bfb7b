"""The helper processes: the spawner, which makes workers, and the resolver, which looks up names."""
