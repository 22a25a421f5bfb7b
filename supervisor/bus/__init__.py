"""The service on D-Bus: interfaces declared as tables, and the dispatch of calls by these."""
