"""The D-Bus side: interfaces declared as tables, and what is made from the tables."""
