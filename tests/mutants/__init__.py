"""`make mutants`: do the tests notice when the program changes?

One small change at a time (a mutant) is made in a copy of the tree, and the tests that run the changed line are run.  A
mutant that no test notices survives: a test is missing, or the change makes no difference, which `accepted.toml` says
with its reason.

    run         the command
    operators   what is changed: from one program to all its mutants
    sample      which of them are tried
    copies      the copies of the tree, each with a virtual environment of its own
    hits        a program that notes which of its statements run, in whatever process
    recorder    the pytest plugin that collects these for each test
    coverage    which test runs which statement
    trial       one mutant, and the tests that are to notice it
    accepted    survivors with a reason
"""
