"""One module per command: ``run(...)`` loads artifacts, calls the numerics and saves artifacts.

Stages never import one another; they meet only in the run directory. Modules that are named after no
command are no stages: what several of them need, or one needs beside its ``run``.
"""
