"""What runs under the engine's own interpreter: a service that dry-runs workflows, JSON lines in and out.

dslkit never imports this package: it starts ``__main__.py`` with an interpreter that has graphon, in an empty
environment.  Nothing here imports dslkit.
"""
