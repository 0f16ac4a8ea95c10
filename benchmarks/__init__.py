"""Measures what memento costs beside its peers, and beside the least that the same work can cost; see __main__.py."""
