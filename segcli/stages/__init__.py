"""One module per command: ``run(...)`` loads artifacts, calls the numerics and saves artifacts.

Stages never import one another; they meet only in the run directory.
"""
