"""How an experiment wants to be called."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from memento.errors import OptionError
from memento.job import Call
from memento.running.calling import how_to_call

NAMES = ("lr", "depth")
SETTINGS = ("verbose",)


class Trainer:
    def __init__(self, context: Any, config: Any) -> None: ...

    def method(self, context: Any, config: Any) -> None: ...

    @classmethod
    def of_class(cls, context: Any, config: Any) -> None: ...

    def __call__(self, context: Any, config: Any) -> None: ...


@pytest.mark.parametrize(
    "experiment",
    [
        lambda context, config: None,
        lambda ctx, cfg: None,
        lambda *arguments: None,
        Trainer,
        Trainer(None, None).method,
        Trainer.of_class,
        Trainer(None, None),
        functools.partial(lambda a, context, config: None, 1),
        max,
    ],
)
def test_two_arguments_are_context_and_config(experiment: Any) -> None:
    assert how_to_call(experiment, NAMES, SETTINGS) == Call()


def test_the_matrix_names_are_passed_by_keyword() -> None:
    assert how_to_call(lambda lr, depth: 0, NAMES, SETTINGS) == Call(names=("depth", "lr"), context=False, config=False)


def test_settings_and_context_are_passed_to_whom_asks() -> None:
    call = how_to_call(lambda context, lr, depth, *, verbose: 0, NAMES, SETTINGS)
    assert call == Call(names=("depth", "lr", "verbose"), context=True, config=False)


def test_one_argument_named_config_or_context_is_enough() -> None:
    assert how_to_call(lambda config: 0, NAMES, SETTINGS) == Call(names=(), context=False, config=True)


def test_double_star_takes_everything() -> None:
    assert how_to_call(lambda **all: 0, NAMES, SETTINGS).names == ("depth", "lr", "verbose")


def test_a_default_may_stand_for_a_parameter_the_matrix_does_not_have() -> None:
    assert how_to_call(lambda lr, depth, extra=3: 0, NAMES, SETTINGS).names == ("depth", "lr")


def test_an_argument_that_nobody_gives_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionError, match=r"needs 'dept', which the matrix does not have; did you mean 'depth'\?"):
        how_to_call(lambda lr, dept: 0, NAMES, SETTINGS)


def takes_lr_by_position(lr: Any, /, depth: Any, verbose: Any) -> None:
    pass


def takes_lr_by_position_if_at_all(lr: Any = 1, /, depth: Any = 2) -> None:
    pass


@pytest.mark.parametrize("experiment", [takes_lr_by_position, takes_lr_by_position_if_at_all])
def test_a_parameter_that_can_only_be_given_by_position_is_refused(experiment: Any) -> None:
    with pytest.raises(OptionError, match="takes 'lr' by position only, and is called by names; leave out the '/' beh"):
        how_to_call(experiment, NAMES, SETTINGS)


def test_a_parameter_that_the_experiment_would_not_see_is_refused() -> None:
    with pytest.raises(OptionError, match="does not take 'depth' of the matrix, so its results would not depend on it"):
        how_to_call(lambda lr: 0, NAMES, SETTINGS)


def test_a_signature_that_fits_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match=r"can be called neither as \(context, config\) nor with the matrix's names"):
        how_to_call(lambda x: 0, NAMES, SETTINGS)
