"""The sandbox of sessions as this machine can have it: which layers there are, and what each takes."""
