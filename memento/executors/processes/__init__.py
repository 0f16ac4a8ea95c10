"""Experiments in worker processes of this machine."""

from memento.executors.processes.executor import ProcessExecutor

__all__ = ["ProcessExecutor"]
