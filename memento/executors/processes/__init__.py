"""Experiments in worker processes of this machine.

Nothing is imported here: the supervisor and the workers load what they need of this package, and no more.
"""
