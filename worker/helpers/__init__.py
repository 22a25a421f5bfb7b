"""The processes that workers are forked from and that look up names: exec'd early, while still root."""
