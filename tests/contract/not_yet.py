"""What this project's service does not do yet, or not right, by test (all of its cases, where none is named).

A test in this list must fail; as soon as it passes, the run fails until its line is removed here.  So does a line
without a test.
"""

NOT_YET: dict[str, str] = {}
