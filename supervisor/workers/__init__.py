"""The supervisor's ends of the processes that it starts: workers, spawner and resolver; nothing of sessions."""
