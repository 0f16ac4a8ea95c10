"""Code → who an experiment is, and what of the user's project its results depend on.

    function ─ identity ───────────────────────────────→ its name, part of every key
        └ dependencies ─ names, imports, classes (uses) ─→ functions, classes ─ syntax ─→ digests ┐
                └ module_names ─ names of modules ──────→ statements ───────── syntax ──→ digests ├→ the code
                        └ values ─ what no statement tells (bindings, attributes) ──────→ digests ┘
                              └ without what the code sets itself (effects), or what is never the same (nondeterminism)

Its rules, each with a row in tests/test_reached.py (code) or tests/test_held.py (values):

1. What stands in the source counts by its syntax tree: no comment, docstring, annotation or layout does.
2. What counts is what a name stands for when the run begins, be it another than the source says.
3. A value counts where no statement tells it, and where it is plain: what was read, chosen or set from outside.
4. What the code itself sets or fills while it runs does not count, nor what is another each time: time, chance, place.
5. Installed packages count by which of their things a name is, never by their source.
6. What could not be looked at is noted, and never ends a run.

Nothing is imported or executed to find out, and no object is asked: attributes are read past `__getattr__`.
"""
