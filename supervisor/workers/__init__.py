"""The supervisor's end of its worker processes: starting, relaying, reaping."""
