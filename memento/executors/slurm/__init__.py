"""Experiments as jobs of a Slurm cluster."""

from memento.executors.slurm.executor import SlurmExecutor

__all__ = ["SlurmExecutor"]
