"""A matrix → Configurations: product, linked axes, union, include, exclude, replicates, sampling."""

from memento.matrix.configurations import Configurations
from memento.matrix.expand import generate_configurations
from memento.matrix.grids import grid, random_grid

__all__ = ["Configurations", "generate_configurations", "grid", "random_grid"]
