"""What a matrix becomes: order, union, exclusion, inclusion, replicates, sampling, and all that is refused."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import random
import warnings
from collections.abc import Sequence

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Perceptron
from sklearn.svm import SVC

from memento.config import Config
from memento.errors import MatrixError, MatrixTypeError, MatrixWarning
from memento.hashing import KeyMaker, digest
from memento.matrix import generate_configurations
from memento.matrix.configurations import Configurations
from memento.matrix.grids import grid, random_grid
from memento.matrix.union import _may_share as may_share

GPUS = "write a whole number of devices, or a share of one below 1"


def dicts(configurations):
    return [config.asdict() for config in configurations]


def quiet(matrix, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixWarning)
        return generate_configurations(matrix, **options)


def expand(parameters, **others):
    return generate_configurations({"parameters": parameters, **others})


class TestProduct:
    def test_the_last_parameter_is_fastest(self):
        assert dicts(expand({"a": [1, 2], "b": ["x", "y"]})) == [
            {"a": 1, "b": "x"},
            {"a": 1, "b": "y"},
            {"a": 2, "b": "x"},
            {"a": 2, "b": "y"},
        ]

    def test_a_tuple_of_names_moves_together(self):
        assert dicts(expand({"a": [1, 2], ("depth", "trees"): [(2, 100), [8, 10]]})) == [
            {"a": 1, "depth": 2, "trees": 100},
            {"a": 1, "depth": 8, "trees": 10},
            {"a": 2, "depth": 2, "trees": 100},
            {"a": 2, "depth": 8, "trees": 10},
        ]

    def test_a_linked_axis_may_have_one_name(self):
        assert dicts(expand({("a",): [(1,), (2,)]})) == [{"a": 1}, {"a": 2}]

    def test_without_parameters_to_vary_there_is_one_configuration(self):
        assert dicts(expand({})) == [{}]
        assert [config.replicate for config in expand({}, replicates=2)] == [0, 1]

    @pytest.mark.parametrize("values", [(1, 2), range(1, 3), np.array([1, 2])])
    def test_tuples_ranges_and_arrays_are_lists_of_values(self, values):
        assert dicts(expand({"a": values})) == [{"a": 1}, {"a": 2}]

    def test_values_of_an_array_stay_numpy_scalars(self):
        assert type(expand({"a": np.array([1.5])})[0].a) is np.float64

    def test_parameters_values_and_settings_are_those_given(self):
        model = object
        config = expand({"model": [model]}, settings={"epochs": 3})[0]
        assert config.model is model
        assert config.settings["epochs"] == 3

    def test_the_matrix_is_never_changed_and_can_be_changed_afterwards(self):
        matrix = {
            "parameters": {"a": [1, 2], ("b", "c"): [(1, 2)]},
            "settings": {"e": 1},
            "exclude": [{"a": 1}],
            "include": [{"a": 9, "b": 1, "c": 1}],
            "replicates": 2,
            "introduced": {"b": 1},
            "runtime": {"cpus": 1},
            "sample": {"n": 1},
        }
        before = copy.deepcopy(matrix)
        configurations = generate_configurations(matrix)
        listed = dicts(configurations)
        assert matrix == before
        matrix["parameters"]["a"].append(3)
        matrix["settings"]["e"] = matrix["runtime"]["cpus"] = 7
        assert dicts(configurations) == listed
        assert configurations.settings == {"e": 1}
        assert configurations.runtime(0) == {"cpus": 1}

    def test_the_whole_matrix_of_the_documentation(self):
        matrix = {
            "parameters": {"model": [SVC, Perceptron], "dataset": ["mnist", "cifar10"],
                           ("depth", "trees"): [(2, 100), (8, 10)]},
            "settings": {"regularization": 1e-1},
            "exclude": [{"model": SVC, "dataset": "cifar10"}, lambda config: config.depth == 8],
            "include": [{"model": SVC, "dataset": "iris", "depth": 1, "trees": 1}],
            "replicates": 5,
            "introduced": {"depth": 2},
            "runtime": {"cpus": 1, "memory": "2G", "time": "01:00:00", "gpus": 0},
        }  # fmt: skip
        configurations = generate_configurations(matrix)
        assert len(configurations) == 20
        assert [str(config).removesuffix(", 'replicate': 0}") for config in configurations[::5]] == [
            "{'model': sklearn.svm.SVC, 'dataset': 'mnist', 'depth': 2, 'trees': 100",
            "{'model': sklearn.linear_model.Perceptron, 'dataset': 'mnist', 'depth': 2, 'trees': 100",
            "{'model': sklearn.linear_model.Perceptron, 'dataset': 'cifar10', 'depth': 2, 'trees': 100",
            "{'model': sklearn.svm.SVC, 'dataset': 'iris', 'depth': 1, 'trees': 1",
        ]
        assert configurations.settings.regularization == 0.1
        assert configurations.introduced == {"depth": 2}

    def test_id_and_dependencies_are_known_and_change_nothing(self):
        plain, named = expand({"a": [1]}), expand({"a": [1]}, id="first", dependencies=["second"])
        assert list(plain.keys()) == list(named.keys())


@pytest.mark.parametrize("piece", [slice(0, 10, 3), slice(None, None, -2), slice(5, 1, -1), slice(3, 7)])
def test_a_configuration_of_a_slice_is_found_where_it_is_in_it(piece: slice) -> None:
    numbers = list(range(10))
    chosen = generate_configurations({"parameters": {"x": numbers}})[piece]
    assert [config.x for config in chosen] == numbers[piece]
    assert [chosen.index(config) for config in chosen] == list(range(len(chosen)))


class TestUnion:
    def test_a_list_of_matrices_is_their_union_each_configuration_once_where_it_is_first(self):
        union = generate_configurations([{"parameters": {"a": [1, 2]}}, {"parameters": {"a": [3, 2, 0]}}])
        assert dicts(union) == [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 0}]

    def test_what_an_earlier_matrix_excludes_a_later_one_may_have(self):
        first = {"parameters": {"a": [1, 2], "b": [1, 2]}, "exclude": [{"a": 2, "b": 2}]}
        second = {"parameters": {"b": [2, 3], "a": [2]}}
        assert dicts(generate_configurations([first, second]))[3:] == [{"b": 2, "a": 2}, {"b": 3, "a": 2}]

    def test_linked_and_separate_axes_are_recognised_as_the_same_configuration(self):
        linked = {"parameters": {("a", "b"): [(1, 1), (2, 2)]}}
        separate = {"parameters": {"a": [1, 2], "b": [1, 2]}}
        assert dicts(generate_configurations([linked, separate])) == [
            {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 2}, {"a": 2, "b": 1},
        ]  # fmt: skip
        assert dicts(generate_configurations([separate, linked])) == dicts(generate_configurations(separate))

    def test_equal_by_key_is_what_once_means(self):
        union = generate_configurations([{"parameters": {"a": [1]}}, {"parameters": {"a": [True, 1.0, 1]}}][:1])
        assert len(union) == 1
        assert len(quiet([{"parameters": {"a": [1]}}, {"parameters": {"a": [True, 1.0, 1]}}])) == 3

    def test_each_matrix_has_its_own_settings_runtime_and_introduced(self):
        union = generate_configurations(
            [
                {
                    "parameters": {"a": [1]},
                    "settings": {"e": 1, "same": 5},
                    "runtime": {"cpus": 1},
                    "introduced": {"a": 1},
                },
                {"parameters": {"a": [1]}, "settings": {"e": 2, "same": 5}, "runtime": {"cpus": 2}},
            ]
        )
        assert [config.settings.e for config in union] == [1, 2]
        assert [union.runtime(position)["cpus"] for position in union.positions] == [1, 2]
        assert [len(union.alternatives(config)) for config in union] == [1, 0]
        assert union.settings == {"same": 5}

    def test_what_an_earlier_matrix_excludes_is_not_cut_from_a_later_one_where_they_share_a_range(self):
        first = {"parameters": {"a": [1, 2], "b": range(3)}, "exclude": [{"b": 1}]}
        second = {"parameters": {"a": [2, 3], "b": range(3)}}
        assert [tuple(config.values()) for config in generate_configurations([first, second])] == [
            (1, 0), (1, 2), (2, 0), (2, 2), (2, 1), (3, 0), (3, 1), (3, 2),
        ]  # fmt: skip

    def test_what_a_callable_of_an_earlier_matrix_excludes_a_later_one_may_have(self):
        first = {"parameters": {"a": [1, 2]}, "exclude": [lambda config: config.a == 2]}
        assert dicts(generate_configurations([first, {"parameters": {"a": [2, 1]}}])) == [{"a": 1}, {"a": 2}]

    def test_axes_that_python_calls_equal_are_not_the_same(self):
        union = generate_configurations([{"parameters": {"a": [1, 2]}}, {"parameters": {"a": [True, 2]}}])
        assert [repr(config.a) for config in union] == ["1", "2", "True"]

    def test_a_part_of_a_union_begins_where_it_should(self):
        union = generate_configurations(
            [{"parameters": {"a": range(9)}, "sample": {"n": 4}}, {"parameters": {"a": range(9)}}]
        )
        listed = list(union)
        assert [list(union[first:]) for first in range(10)] == [listed[first:] for first in range(10)]

    def test_matrices_may_have_different_parameters(self):
        union = generate_configurations([{"parameters": {"a": [1]}}, {"parameters": {"b": [1]}}])
        assert dicts(union) == [{"a": 1}, {"b": 1}]
        assert union.names == ("a", "b")
        assert union.varying == ("a", "b")

    def test_matrices_without_parameters_are_one_configuration_for_each_of_their_settings(self):
        matrices = [{"parameters": {}, "settings": {"e": number % 2}} for number in range(6)]
        assert [config.settings.e for config in generate_configurations(matrices)] == [0, 1]

    @pytest.mark.parametrize(
        "matrix",
        [
            lambda number: {"parameters": {"a": [number], "seed": [0]}},
            lambda number: {"parameters": {"a": list(range(number, number + 4)), "seed": range(10**6)}},
            lambda number: {"parameters": {"a": [number % 20], "b": [number // 20]}, "replicates": 2},
            lambda number: {"parameters": {"a": [number]}, "include": [{"a": -number}], "sample": {"n": 1}},
        ],
        ids=["apart", "overlapping", "by-two-names", "included"],
    )
    def test_of_many_matrices_each_is_compared_with_a_few(self, matrix, monkeypatch):
        compared = []

        def counted(space, one, other):
            compared.append(other)
            return may_share(space, one, other)

        monkeypatch.setattr("memento.matrix.union._may_share", counted)
        union = quiet([matrix(number) for number in range(400)])
        assert len(compared) < 400 * 5
        assert all(config in union for number in range(0, 400, 21) for config in quiet(matrix(number))[:9])

    def test_an_empty_list_is_refused(self):
        with pytest.raises(MatrixError, match=r"the list of matrices is empty; write at least one"):
            generate_configurations([])

    def test_of_two_unequal_unions_of_a_thousand_million_each_nothing_is_listed(self):
        def matrix(shift, **others):
            return {"parameters": {name: range(shift, 10 + shift) for name in "abcdefghi"}, **others}

        union = generate_configurations([matrix(0, exclude=[{"a": 1, "i": 3}]), matrix(1)])
        # 10**9 - 10**7 of the first; of the second all but the 9**9 that both have, of which the first excludes 9**7.
        assert len(union) == 10**9 - 10**7 + 10**9 - (9**9 - 9**7)
        assert union[-1].asdict() == dict.fromkeys("abcdefghi", 10)


class TestExclude:
    def test_a_dict_excludes_what_has_all_of_its_values(self):
        assert dicts(expand({"a": [1, 2], "b": [1, 2]}, exclude=[{"a": 1, "b": 2}])) == [
            {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2},
        ]  # fmt: skip

    def test_true_does_not_exclude_one(self):
        with pytest.warns(MatrixWarning) as caught:
            configurations = expand({"a": [1, 2]}, exclude=[{"a": True}, {"a": 1.0}])
        assert len(configurations) == 2
        assert [str(warning.message) for warning in caught] == [
            "exclude[0] matches nothing, so it has no effect: {'a': True}",
            "exclude[1] matches nothing, so it has no effect: {'a': 1.0}",
        ]

    def test_arrays_and_nan_match_by_content(self):
        parameters = {"a": [np.arange(3), np.arange(4)], "b": [float("nan"), 1.0]}
        configurations = expand(parameters, exclude=[{"a": np.arange(3)}, {"b": float("nan")}])
        assert len(configurations) == 1
        assert configurations[0].b == 1.0

    def test_a_list_matches_itself_and_each_of_its_elements(self):
        assert dicts(expand({"a": [1, 2, 3, [1, 2]]}, exclude=[{"a": [1, 2]}])) == [{"a": 3}]

    def test_a_tuple_matches_only_itself(self):
        assert dicts(expand({"a": [1, 2, (1, 2)]}, exclude=[{"a": (1, 2)}])) == [{"a": 1}, {"a": 2}]

    def test_parameters_that_move_together_are_matched_one_by_one_or_together(self):
        parameters = {("a", "b"): [(1, 1), (1, 2), (2, 2)]}
        assert len(expand(parameters, exclude=[{"b": 2}])) == 1
        assert dicts(expand(parameters, exclude=[{"a": 1, "b": 2}])) == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]

    def test_ranges_match_whole_numbers_only(self):
        assert len(expand({"a": range(10**9)}, exclude=[{"a": 5}, {"a": [7, 9]}])) == 10**9 - 3
        assert len(quiet({"parameters": {"a": range(10)}, "exclude": [{"a": 5.0}, {"a": True}, {"a": "5"}]})) == 10

    def test_a_replicate_can_be_excluded(self):
        configurations = expand({"a": [1, 2]}, replicates=2, exclude=[{"a": 1, "replicate": 1}])
        assert [(config.a, config.replicate) for config in configurations] == [(1, 0), (2, 0), (2, 1)]

    def test_a_callable_is_given_the_configuration(self):
        exclude = [lambda config: config.a == 1 and config["b"] == 2, lambda config: config.settings.limit < config.a]
        configurations = expand({"a": [1, 2, 3], "b": [1, 2]}, settings={"limit": 2}, exclude=exclude)
        assert dicts(configurations) == [{"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2}]

    def test_a_callable_is_asked_only_when_configurations_are_counted_indexed_or_walked_through(self):
        asked = []
        exclude = [{"a": 1}, lambda config: asked.append(config.a) or config.a == 3]
        configurations = expand({"a": [1, 2, 3]}, exclude=exclude)
        assert asked == []
        assert len(configurations) == len(list(configurations)) == 1
        assert asked == [2, 3]

    @pytest.mark.parametrize("answer", [np.bool_(True), np.array(True)])
    def test_the_truth_values_of_numpy_count(self, answer):
        with pytest.warns(MatrixWarning, match="everything is excluded"):
            assert len(expand({"a": [1]}, exclude=[lambda config: answer])) == 0

    @pytest.mark.parametrize(("answer", "told"), [(None, "None"), (1, "the number 1"), ("no", "the string 'no'")])
    def test_a_callable_has_to_return_a_truth_value(self, answer, told):
        configurations = expand({"a": [1]}, exclude=[lambda config: answer])
        with pytest.raises(MatrixError) as caught:
            len(configurations)
        assert str(caught.value) == (
            f"exclude[0] returned {told} for the configuration {{'a': 1}}; "
            "make it return True to leave a configuration out, False to keep it"
        )

    def test_an_error_in_a_callable_names_the_configuration(self):
        configurations = expand({"a": [0]}, exclude=[{"a": 0}, lambda config: 1 / config.a][1:])
        with pytest.raises(MatrixError) as caught:
            list(configurations)
        assert str(caught.value) == (
            "exclude[0] raised ZeroDivisionError: division by zero, for the configuration {'a': 0}; "
            "make it return True or False for every configuration"
        )
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_a_callable_that_matches_nothing_is_warned_about_when_it_is_asked(self):
        configurations = expand({"a": [1]}, exclude=[lambda config: False])
        assert configurations.warnings == ()
        with pytest.warns(MatrixWarning, match=r"^exclude\[0\] matches nothing that is not already excluded"):
            len(configurations)
        assert len(configurations.warnings) == 1

    def test_a_warning_of_a_callable_names_the_line_that_asked(self):
        configurations = expand({"a": [1]}, exclude=[lambda config: False])
        with pytest.warns(MatrixWarning) as caught:
            list(configurations)
        assert [warning.filename for warning in caught] == [__file__]

    def test_an_exclude_that_matches_the_same_as_one_before_is_warned_about(self):
        with pytest.warns(MatrixWarning) as caught:
            configurations = expand(
                {"a": [1, 2], "b": [1, 2]}, exclude=[{"a": 1, "b": 2}, {"b": [2], "a": [1, 7]}, {"a": 2, "b": 2}]
            )
        assert len(configurations) == 2
        assert [str(warning.message) for warning in caught] == [
            "exclude[1] matches the same as exclude[0], so it has no effect: {'b': [2], 'a': [1, 7]}"
        ]

    def test_nothing_left_is_warned_about(self):
        with pytest.warns(MatrixWarning, match=r"^matrix: everything is excluded, so there is nothing to run$"):
            configurations = expand({"a": [1]}, exclude=[{"a": 1}])
        assert len(configurations) == 0
        assert list(configurations) == []
        assert not configurations


class TestInclude:
    def test_it_adds_configurations_after_the_product(self):
        assert dicts(expand({"a": [1], "b": [2]}, include=[{"b": 8, "a": 9}])) == [{"a": 1, "b": 2}, {"a": 9, "b": 8}]

    def test_what_the_product_has_is_not_added_again(self):
        assert dicts(expand({"a": [1, 2]}, include=[{"a": 2}, {"a": 3}])) == [{"a": 1}, {"a": 2}, {"a": 3}]

    def test_what_is_excluded_can_be_included(self):
        parameters, exclude = {"a": [1, 2], "b": [1, 2]}, [{"a": 1}]
        assert dicts(expand(parameters, exclude=exclude, include=[{"a": 1, "b": 1}]))[-1] == {"a": 1, "b": 1}
        callables = [lambda config: config.a == 1]
        assert dicts(expand(parameters, exclude=callables, include=[{"a": 1, "b": 1}, {"a": 2, "b": 1}])) == [
            {"a": 2, "b": 1}, {"a": 2, "b": 2}, {"a": 1, "b": 1},
        ]  # fmt: skip

    def test_excludes_do_not_reach_it(self):
        assert dicts(expand({"a": [1, 2]}, exclude=[lambda config: config.a > 1], include=[{"a": 3}])) == [
            {"a": 1},
            {"a": 3},
        ]

    def test_it_is_replicated(self):
        configurations = expand({"a": [1]}, replicates=2, exclude=[{"replicate": 1}], include=[{"a": 1}, {"a": 2}])
        assert [(config.a, config.replicate) for config in configurations] == [(1, 0), (1, 1), (2, 0), (2, 1)]

    def test_it_has_the_keys_of_a_product(self):
        included = expand({"a": [1], "b": [1]}, include=[{"b": 2, "a": 3}])[1]
        assert included.key == expand({"a": [3], "b": [2]})[0].key

    def test_included_twice_is_warned_about(self):
        with pytest.warns(MatrixWarning, match=r"^include has duplicates, which are left out: \(2,\)$"):
            assert len(expand({"a": [1]}, include=[{"a": 2}, {"a": 2}])) == 2


class TestReplicates:
    def test_they_are_the_fastest_axis(self):
        configurations = expand({"a": [1, 2]}, replicates=2)
        assert [(config.a, config.replicate) for config in configurations] == [(1, 0), (1, 1), (2, 0), (2, 1)]

    def test_going_from_five_to_ten_keeps_the_keys_of_the_first_five(self):
        five, ten = expand({"a": [1, 2]}, replicates=5), expand({"a": [1, 2]}, replicates=10)
        assert set(five.keys()) <= set(ten.keys())
        assert len(set(ten.keys())) == 20

    def test_each_has_its_own_key_in_which_replicate_is_a_parameter(self):
        keys = list(expand({"a": [1]}, replicates=2).keys())
        maker = KeyMaker("", ("a", "replicate"), {})
        assert keys == [maker.key([digest(1), digest(0)]), maker.key([digest(1), digest(1)])]

    @pytest.mark.parametrize("count", [0, -1, 2.0, True, "5", [5]])
    def test_other_than_a_positive_number_is_refused(self, count):
        with pytest.raises(
            MatrixError, match=r"^replicates is the .*; write how often to run each configuration, 1 or more$"
        ):
            expand({"a": [1]}, replicates=count)


class TestIntroduced:
    def test_the_value_of_older_results_leads_to_the_key_they_had(self):
        older = {config.lr: config.key for config in expand({"lr": [1, 2]})}
        now = expand({"lr": [1, 2], "depth": [2, 3]}, introduced={"depth": 2})
        for config in now:
            expected = [bytes.fromhex(older[config.lr])] if config.depth == 2 else []
            assert now.alternatives(config) == expected

    def test_of_several_every_subset_is_looked_for_the_fullest_first(self):
        now = expand({"lr": [1], "a": [1], "b": [2]}, introduced={"a": 1, "b": 2})
        expected = [
            expand(parameters)[0].key for parameters in ({"lr": [1], "b": [2]}, {"lr": [1], "a": [1]}, {"lr": [1]})
        ]
        assert [key.hex() for key in now.alternatives(now[0])] == expected

    def test_values_are_compared_as_keys_are(self):
        now = expand({"a": [1]}, introduced={"a": True})
        assert now.alternatives(now[0]) == []

    def test_replicates_can_be_introduced(self):
        now = expand({"lr": [1]}, replicates=2, introduced={"replicate": 0})
        assert now.alternatives(now[0]) == [bytes.fromhex(expand({"lr": [1]})[0].key)]
        assert now.alternatives(now[1]) == []

    def test_settings_can_be_introduced(self):
        now = expand({"lr": [1]}, settings={"epochs": 3, "e": 1}, introduced={"epochs": 3})
        assert now.alternatives(now[0]) == [bytes.fromhex(expand({"lr": [1]}, settings={"e": 1})[0].key)]

    def test_the_experiment_stays_in_the_key(self):
        matrix = {"parameters": {"lr": [1], "depth": [2]}, "introduced": {"depth": 2}}
        now = generate_configurations(matrix, experiment="train:main")
        older = generate_configurations({"parameters": {"lr": [1]}}, experiment="train:main")
        assert now.alternatives(now[0]) == list(older.keys())

    def test_a_linked_parameter_can_be_introduced(self):
        now = expand({("a", "b"): [(1, 2)]}, introduced={"b": 2})
        assert now.alternatives(now[0]) == list(expand({"a": [1]}).keys())

    def test_an_equal_configuration_made_by_hand_has_the_same_alternatives(self):
        now = expand({"lr": [1], "depth": [2]}, introduced={"depth": 2})
        assert now.alternatives(Config(depth=2, lr=1)) == now.alternatives(now[0])
        with pytest.raises(ValueError, match=r"^\{'lr': 7\} is not among these configurations$"):
            now.alternatives(Config(lr=7))

    def test_it_is_no_part_of_the_key(self):
        assert list(expand({"a": [1]}, introduced={"a": 1}).keys()) == list(expand({"a": [1]}).keys())

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(MatrixError) as caught:
            expand({"depth": [1]}, settings={"epochs": 1}, introduced={"dpeth": 2})
        assert str(caught.value) == (
            "introduced names 'dpeth', which is no parameter; did you mean 'depth'? (parameters are: 'depth', 'epochs')"
        )

    def test_more_than_eight_are_refused(self):
        names = "abcdefghi"
        with pytest.raises(MatrixError, match="introduced has 9 names, and at most 8 can be looked for at once"):
            expand({name: [1] for name in names}, introduced=dict.fromkeys(names, 1))


class TestSample:
    def test_it_draws_in_matrix_order_and_the_seed_decides(self):
        configurations = expand({"a": range(1000)}, sample={"n": 5, "seed": 0})
        drawn = [config.a for config in configurations]
        assert drawn == sorted(random.Random(0).sample(range(1000), 5)) == [394, 430, 776, 864, 911]
        assert drawn == [config.a for config in expand({"a": range(1000)}, sample={"n": 5})]
        assert drawn != [config.a for config in expand({"a": range(1000)}, sample={"n": 5, "seed": 1})]

    def test_it_draws_from_what_is_left_of_the_product(self):
        configurations = expand({"a": range(10)}, exclude=[{"a": [0, 1]}, lambda config: config.a > 5], sample={"n": 3})
        left = expand({"a": range(2, 6)}, sample={"n": 3})
        assert [config.a for config in configurations] == [config.a for config in left] == [2, 3, 5]

    @pytest.mark.parametrize("seed", range(20))
    def test_what_is_included_is_added_beside_what_was_drawn(self, seed):
        drawn = [config.a for config in expand({"a": range(10)}, sample={"n": 3, "seed": seed})]
        configurations = expand(
            {"a": range(10)}, include=[{"a": 99}, {"a": 4}], sample={"n": 3, "seed": seed}, replicates=2
        )
        assert [(config.a, config.replicate) for config in configurations] == [
            (a, replicate) for a in dict.fromkeys([*drawn, 99, 4]) for replicate in (0, 1)
        ]

    def test_what_was_drawn_is_replicated(self):
        for exclude in ([], [lambda config: False]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MatrixWarning)
                configurations = expand({"a": range(100)}, sample={"n": 5, "seed": 1}, replicates=3, exclude=exclude)
                drawn = [config.a for config in expand({"a": range(100)}, sample={"n": 5, "seed": 1})]
                seen = [(config.a, config.replicate) for config in configurations]
            assert seen == [(a, replicate) for a in drawn for replicate in range(3)]

    def test_what_has_lost_all_of_its_replicates_is_not_drawn(self):
        exclude = [{"a": [0, 1, 2], "replicate": [0, 1]}, {"a": 1, "replicate": 2}, {"a": 2, "replicate": 2}]
        configurations = expand({"a": range(5), "b": [0]}, replicates=3, exclude=exclude, sample={"n": 2, "seed": 2})
        every = expand({"a": [0, 3, 4]}, sample={"n": 2, "seed": 2})
        assert sorted({config.a for config in configurations}) == [config.a for config in every] == [0, 4]
        assert [(config.a, config.replicate) for config in configurations] == [(0, 2), (4, 0), (4, 1), (4, 2)]

    def test_none_is_drawn_twice_of_a_thousand_million(self):
        configurations = expand(
            {name: range(10) for name in "abcdefghi"}, exclude=[{"a": 1}], sample={"n": 1000, "seed": 3}
        )
        assert len(set(configurations.keys())) == 1000
        assert not any(config.a == 1 for config in configurations)

    def test_more_than_there_are_gives_all_and_a_warning(self):
        with pytest.warns(
            MatrixWarning, match=r"^sample\['n'\] is 9, but there are only 2 configurations; all of them are taken$"
        ):
            assert len(expand({"a": [1, 2]}, sample={"n": 9})) == 2

    def test_a_union_leaves_out_what_an_earlier_sample_has(self):
        first = {"parameters": {"a": range(10)}, "sample": {"n": 4}}
        union = generate_configurations([first, {"parameters": {"a": range(10)}}])
        drawn = [config.a for config in generate_configurations(first)]
        assert [config.a for config in union] == drawn + [n for n in range(10) if n not in drawn]

    @pytest.mark.parametrize(
        ("sample", "message"),
        [
            ({"n": 5, "sed": 0}, r"^sample has an unknown key 'sed'; did you mean 'seed'\? \(known are: n, seed\)$"),
            ({"seed": 0}, r"^sample\['n'\] is None; write how many configurations to draw, 1 or more$"),
            ({"n": 0}, r"^sample\['n'\] is the number 0; write how many"),
            ({"n": 2.0}, r"^sample\['n'\] is the number 2\.0; write how many"),
            ({"n": 5, "seed": "x"}, r"^sample\['seed'\] is the string 'x'; write a whole number$"),
            (5, r"^sample is the number 5, not a dict; write for example \{'n': 50, 'seed': 0\}$"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, sample, message):
        with pytest.raises(MatrixError, match=message):
            expand({"a": [1]}, sample=sample)


class TestRuntime:
    def test_it_is_no_part_of_any_key(self):
        assert list(expand({"a": [1]}, runtime={"cpus": 4}).keys()) == list(expand({"a": [1]}).keys())

    def test_it_is_found_by_position_and_cannot_be_changed_through_it(self):
        configurations = expand({"a": [1]}, runtime={"cpus": 4})
        configurations.runtime(0)["cpus"] = 8
        assert configurations.runtime(0) == {"cpus": 4}

    @pytest.mark.parametrize(
        "runtime",
        [
            {"cpus": 2, "gpus": 0.5, "memory": "2G", "time": "01:00:00"},
            {"memory": 2**31, "time": 90, "mem_per_cpu": "512 MiB"},
            {"memory": "2Gi", "mem_per_cpu": 0},
            {"time": "2-00:00:00", "slurm": {"qos": "long", "anything": 1}},
            {"partition": "gpu", "account": "me", "jobname": "x", "output": "x.log"},
        ],
    )
    def test_what_can_be_meant_is_taken(self, runtime):
        assert expand({"a": [1]}, runtime=runtime).runtime(0) == runtime

    @pytest.mark.parametrize(
        ("runtime", "message"),
        [
            ("2G", "runtime is the string '2G', not a dict; write for example "
                   "{'cpus': 1, 'memory': '2G', 'time': '01:00:00'}"),
            ({"cpus": 0}, "runtime['cpus'] is the number 0; write a whole number of processors, 1 or more"),
            ({"cpus": True}, "runtime['cpus'] is the truth value True; write a whole number of processors, 1 or more"),
            ({"gpus": True}, f"runtime['gpus'] is the truth value True; {GPUS}"),
            ({"gpus": -1}, f"runtime['gpus'] is the number -1; {GPUS}"),
            ({"gpus": 1.5}, f"runtime['gpus'] is the number 1.5; {GPUS}"),
            ({"gpus": float("inf")}, f"runtime['gpus'] is the number inf; {GPUS}"),
            ({"memory": "much"}, "runtime['memory'] is the string 'much'; "
             "write a text such as '2G', or a number of bytes"),
            ({"time": "1h"}, "runtime['time'] is the string '1h'; "
                             "write a text such as '01:30:00' or '2-00:00:00', or a number of minutes"),
            ({"slurm": "long"}, "runtime['slurm'] is the string 'long'; "
             "write a dict of options such as {'qos': 'long'}"),
            ({"cpu": 1}, "runtime has an unknown key 'cpu'; did you mean 'cpus'? (known are: cpus, gpus, memory, time, "
                         "partition, account, jobname, output, mem_per_cpu, slurm; "
                         "further options of Slurm go under 'slurm')"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_meant_is_refused(self, runtime, message):
        with pytest.raises(MatrixError) as caught:
            expand({"a": [1]}, runtime=runtime)
        assert str(caught.value) == message


class Unkeyable:
    def __reduce_ex__(self, protocol):
        raise TypeError("no")


class TestRefusals:
    """Each with the key, the value, and what to write instead."""

    @pytest.mark.parametrize(
        ("matrix", "kind", "key", "message"),
        [
            ("abc", MatrixTypeError, "matrix",
             "a matrix is a dict such as {'parameters': {'lr': [0.1, 0.01]}}, or a list of such dicts, "
             "not the string 'abc'"),
            ([{"parameters": {}}, 5], MatrixTypeError, "matrix[1]",
             "a matrix is a dict such as {'parameters': {'lr': [0.1, 0.01]}}, or a list of such dicts, "
             "not the number 5"),
            ({"settings": {}}, MatrixError, "matrix",
             "matrix has no 'parameters'; write {'parameters': {'lr': [0.1, 0.01]}}"),
            ({"parameters": {}, "exlude": []}, MatrixError, "matrix['exlude']",
             "matrix has an unknown key 'exlude'; did you mean 'exclude'? (known are: parameters, settings, exclude, "
             "include, replicates, introduced, sample, runtime, id, dependencies)"),
            ({"parameters": [1]}, MatrixTypeError, "parameters",
             "parameters is the list [1], not a dict; write for example {'lr': [0.1, 0.01]}"),
            ({"parameters": {"a": []}}, MatrixError, "parameters['a']",
             "parameters['a'] is empty, so there is nothing to run; give it a value, or leave the parameter out"),
            ({"parameters": {"a": range(0)}}, MatrixError, "parameters['a']",
             "parameters['a'] is empty, so there is nothing to run; give it a value, or leave the parameter out"),
            ({"parameters": {"a": "mnist"}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is the string 'mnist', not a list of values; for a single value write ['mnist']"),
            ({"parameters": {"a": 5}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is the number 5, not a list of values; for a single value write [5]"),
            ({"parameters": {"a": None}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is None, not a list of values; for a single value write [None]"),
            ({"parameters": {"a": SVC}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is the ABCMeta sklearn.svm.SVC, not a list of values; for a single value write "
             "[sklearn.svm.SVC]"),
            ({"parameters": {"a": (n for n in range(2))}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is a generator, which can be read only once; make it a list: write list(...)"),
            ({"parameters": {"a": map(int, "12")}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is a map, which can be read only once; make it a list: write list(...)"),
            ({"parameters": {"a": {1, 2}}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is a set, which is no list of values; write [{...}] for one value that is a set, "
             "or a list of its members in the order you want"),
            ({"parameters": {"a": {"x": 1}}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is a dict, which is no list of values; write [{...}] for one value that is a dict, "
             "or a list of its members in the order you want"),
            ({"parameters": {"a": np.zeros((2, 2))}}, MatrixTypeError, "parameters['a']",
             "parameters['a'] is an array of 2 dimensions, not a list of values; for its rows write list(array), "
             "for the array as one value [array]"),
            ({"parameters": {"settings": [1]}}, MatrixError, "parameters['settings']",
             "parameters['settings']: a parameter cannot be named 'settings', because that is reserved; "
             "call it for example 'settings_'"),
            ({"parameters": {("a", "key"): [(1, 2)]}}, MatrixError, "parameters[('a', 'key')]",
             "parameters[('a', 'key')]: a parameter cannot be named 'key', because that is reserved; "
             "call it for example 'key_'"),
            ({"parameters": {"_a": [1]}}, MatrixError, "parameters['_a']",
             "parameters['_a']: a parameter cannot be named '_a', because that begins with an underscore; "
             "call it for example 'a_'"),
            ({"parameters": {5: [1]}}, MatrixError, "parameters[5]",
             "parameters[5]: 5 is no name for a parameter; write a string"),
            ({"parameters": {(): [()]}}, MatrixError, "parameters[()]",
             "parameters[()] links no names; write for example ('depth', 'trees'): [(2, 100), (8, 10)]"),
            ({"parameters": {("a", "a"): [(1, 2)]}}, MatrixError, "parameters[('a', 'a')]",
             "parameters[('a', 'a')] links a parameter with itself; name each parameter once"),
            ({"parameters": {"a": [1], ("a", "b"): [(1, 2)]}}, MatrixError, "parameters['a']",
             "parameters: 'a' is declared twice; keep it in one axis"),
            ({"parameters": {("a", "b"): [(1, 2), (3,)]}}, MatrixError, "parameters[('a', 'b')][1]",
             "parameters[('a', 'b')][1] is (3,), which has 1 value for the 2 names ('a', 'b'); write one for each"),
            ({"parameters": {("a", "b"): [5]}}, MatrixTypeError, "parameters[('a', 'b')][0]",
             "parameters[('a', 'b')][0] is the number 5, not a tuple; ('a', 'b') move together, "
             "so write one value for each of them"),
            ({"parameters": {"depth": [1]}, "exclude": [{"dept": 1}]}, MatrixError, "exclude[0]",
             "exclude[0] names 'dept', which is no parameter; did you mean 'depth'? (parameters are: 'depth')"),
            ({"parameters": {"depth": [1]}, "settings": {"e": 1}, "exclude": [{"e": 1}]}, MatrixError, "exclude[0]",
             "exclude[0] names 'e', which is no parameter (parameters are: 'depth')"),
            ({"parameters": {"a": [1]}, "exclude": [{"replicate": 1}]}, MatrixError, "exclude[0]",
             "exclude[0] names 'replicate', which is no parameter (parameters are: 'a')"),
            ({"parameters": {"a": [1]}, "exclude": [{}]}, MatrixError, "exclude[0]",
             "exclude[0] is empty and would match every configuration; write which values to leave out"),
            ({"parameters": {"a": [1]}, "exclude": [5]}, MatrixTypeError, "exclude[0]",
             "exclude[0] is the number 5; write a dict such as {'depth': 8}, or a function of a configuration"),
            ({"parameters": {"a": [1]}, "exclude": {"a": 1}}, MatrixTypeError, "exclude",
             "exclude is the dict {'a': 1}, not a list; write for example [{'model': 'svm', 'depth': 8}]"),
            ({"parameters": {"a": [1]}, "include": [{"b": 1}]}, MatrixError, "include[0]",
             "include[0] names 'b', which is no parameter (parameters are: 'a')"),
            ({"parameters": {"a": [1], "b": [1]}, "include": [{"b": 1}]}, MatrixError, "include[0]",
             "include[0] gives no value for 'a'; give one for every parameter"),
            ({"parameters": {"a": [1]}, "include": [5]}, MatrixTypeError, "include[0]",
             "include[0] is the number 5, not a dict; write for example {'model': 'svm', 'depth': 1}"),
            ({"parameters": {"a": [1]}, "include": {"a": 1}}, MatrixTypeError, "include",
             "include is the dict {'a': 1}, not a list; write for example [{'model': 'svm', 'depth': 1}]"),
            ({"parameters": {"a": [1]}, "settings": {"a": 1}}, MatrixError, "settings['a']",
             "settings: 'a' is also a parameter; keep it in 'parameters' if it varies, else in 'settings'"),
            ({"parameters": {"a": [1]}, "settings": [1]}, MatrixTypeError, "settings",
             "settings is the list [1], not a dict; write for example {'epochs': 10}"),
            ({"parameters": {"a": [1]}, "settings": {5: 1}}, MatrixTypeError, "settings",
             "settings: 5 is no name; write a string"),
            ({"parameters": {"a": [1]}, "introduced": ["a"]}, MatrixTypeError, "introduced",
             "introduced is the list ['a'], not a dict; write for example {'depth': 2}"),
            ({"parameters": {"a": [1]}, "replicates": 2, "introduced": {"replicate": None}}, MatrixError,
             "introduced['replicate']", "introduced['replicate'] is None, which no replicate has; "
             "write 0, and what was computed without replicates is the first of them"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_meant_is_refused(self, matrix, kind, key, message):
        with pytest.raises(MatrixError) as caught:
            generate_configurations(matrix)
        assert str(caught.value) == message
        assert type(caught.value) is kind
        assert caught.value.key == key

    @pytest.mark.parametrize(
        ("matrix", "path"),
        [
            ({"parameters": {"model": [Unkeyable()]}}, "parameters['model'][0]"),
            ({"parameters": {("a", "model"): [(1, 2), (1, Unkeyable())]}}, "parameters[('a', 'model')][1]['model']"),
            ({"parameters": {"a": [1]}, "settings": {"model": {"x": Unkeyable()}}}, "settings['model']['x']"),
            ({"parameters": {"a": [1]}, "include": [{"a": Unkeyable()}]}, "include[0]['a']"),
            ({"parameters": {"a": [1]}, "exclude": [{"a": Unkeyable()}]}, "exclude[0]['a']"),
            ({"parameters": {"a": [1]}, "introduced": {"a": Unkeyable()}}, "introduced['a']"),
        ],
    )
    def test_a_value_that_cannot_be_keyed_is_refused_with_its_place(self, matrix, path):
        with pytest.raises(MatrixTypeError) as caught:
            generate_configurations(matrix)
        assert caught.value.key == path
        assert path in str(caught.value)
        assert "register_key" in str(caught.value)
        assert isinstance(caught.value.value, Unkeyable)

    def test_more_configurations_than_can_be_numbered_are_refused(self):
        with pytest.raises(MatrixError, match="configurations are more than can be numbered"):
            expand({name: range(10**9) for name in "abc"})

    def test_errors_survive_pickling(self):
        with pytest.raises(MatrixError) as caught:
            expand({"a": []})
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class TestWarnings:
    def test_duplicates_are_named_and_left_out(self):
        with pytest.warns(MatrixWarning) as caught:
            configurations = expand({"a": [1, 2, 1, 1]})
        assert [str(warning.message) for warning in caught] == [
            "parameters['a'] has duplicates, which are left out: 1, 1"
        ]
        assert configurations.warnings == ("parameters['a'] has duplicates, which are left out: 1, 1",)
        assert dicts(configurations) == [{"a": 1}, {"a": 2}]

    @pytest.mark.parametrize(
        ("names", "values", "told"),
        [
            ("a", [0, 0, *range(100_001)], "0, 0"),
            ("a", [*map(float, range(1001)), math.nan, -math.nan], "nan"),
            ("a", [*map(np.float32, range(1001)), np.float32(7)], "np.float32(7.0)"),
            ("a", [*((n,) for n in range(1001)), (7,)], "(7,)"),
            (("a", "b"), [*((n, "x") for n in range(1001)), (7, "x")], "(7, 'x')"),
        ],
        ids=["numbers", "nan", "numpy", "tuples", "linked"],
    )
    def test_duplicates_are_left_out_of_lists_of_any_length(self, names, values, told, monkeypatch):
        monkeypatch.setattr("memento.matrix.lint.EAGER", 1000)
        with pytest.warns(MatrixWarning) as caught:
            configurations = expand({names: values})
        assert [str(warning.message) for warning in caught] == [
            f"parameters[{names!r}] has duplicates, which are left out: {told}"
        ]
        assert len(configurations) == len(set(configurations.keys())) >= 1001

    def test_true_beside_one_is_no_duplicate_in_a_long_list_either(self):
        with pytest.warns(MatrixWarning, match="they are two values of 'a', because int and bool differ"):
            configurations = expand({"a": [*range(100_001), True]})
        assert len(configurations) == len(set(configurations.keys())) == 100_002

    def test_one_and_true_are_two_values_and_warned_about(self):
        with pytest.warns(MatrixWarning) as caught:
            configurations = expand({"a": [1, True, 1.0]})
        assert [str(warning.message) for warning in caught] == [
            "parameters['a'] has both 1 and True, which Python calls equal; "
            "they are two values of 'a', because int and bool differ"
        ]
        assert len(set(configurations.keys())) == 3

    def test_linked_values_are_compared_one_by_one(self):
        with pytest.warns(MatrixWarning, match=r"two values of 'b', because int and float differ"):
            expand({("a", "b"): [(1, 0), (2, 0.0)]})

    def test_a_warning_points_at_the_caller(self):
        with pytest.warns(MatrixWarning) as caught:
            expand({"a": [1, 1]})
        assert caught[0].filename == __file__

    def test_nothing_odd_warns_of_nothing(self):
        assert expand({"a": [1, 2], "b": ["1", None]}, exclude=[{"a": 1}]).warnings == ()


class TestConfigurations:
    def test_it_is_a_sequence(self):
        configurations = expand({"a": range(5)})
        assert isinstance(configurations, Sequence)
        assert isinstance(configurations, Configurations)
        assert len(configurations) == 5
        assert configurations[0].a == 0
        assert configurations[-1].a == 4
        assert [config.a for config in reversed(configurations)] == [4, 3, 2, 1, 0]
        assert configurations.configurations == list(configurations)

    def test_an_index_beyond_it_is_refused(self):
        with pytest.raises(IndexError, match=r"^there is no configuration number 5: there are 5$"):
            expand({"a": range(5)})[5]

    def test_a_slice_is_configurations_again(self):
        configurations = expand({"a": range(10)}, settings={"e": 1}, exclude=[{"a": 3}])
        part = configurations[2:8:2]
        assert isinstance(part, Configurations)
        assert [config.a for config in part] == [2, 5, 7]
        assert [config.a for config in part[::-1]] == [7, 5, 2]
        assert [config.a for config in part[1:]] == [5, 7]
        assert part.settings == {"e": 1}
        assert list(part.keys()) == list(configurations.keys())[2:8:2]

    def test_a_configuration_is_found_by_what_it_is(self):
        configurations = expand({"a": [1, 2], "b": ["x", "y"]}, exclude=[{"a": 1, "b": "x"}])
        assert configurations.index(Config(b="x", a=2)) == 1
        assert Config(a=2, b="x") in configurations
        assert configurations.count(Config(a=2, b="x")) == 1
        for other in (Config(a=1, b="x"), Config(a=2.0, b="x"), Config(a=2), Config(a=Unkeyable(), b="x"), 5):
            assert other not in configurations
        assert Config.of({"a": 2, "b": "x"}, settings={"e": 1}) not in configurations
        assert Config.of({"a": 2, "b": "x"}, replicate=0) not in configurations
        with pytest.raises(ValueError, match="is not among these configurations"):
            configurations.index(Config(a=1, b="x"))
        with pytest.raises(ValueError, match="is not among these configurations"):
            configurations.index(Config(a=2, b="x"), 2)

    def test_its_keys_are_those_of_its_configurations(self):
        for matrix in (
            {"parameters": {"b": [1, 2], "a": [3, 4], ("d", "c"): [(5, 6), (7, 8)]}, "settings": {"s": 1}},
            {"parameters": {"a": range(70), "b": range(70)}, "replicates": 3, "exclude": [{"a": 5}]},
            {"parameters": {"a": range(100)}, "sample": {"n": 3}},
            {"parameters": {"a": range(200_000)}, "exclude": [{"a": 7}], "sample": {"n": 100}},
            {"parameters": {}},
            [{"parameters": {"a": [1]}}, {"parameters": {"a": [2]}, "settings": {"e": 1}}],
        ):
            configurations = generate_configurations(matrix, experiment="train:main")
            assert list(configurations.keys()) == [bytes.fromhex(config.key) for config in configurations]

    def test_its_positions_are_those_of_its_space(self):
        configurations = expand({"a": [1, 2, 3]}, exclude=[{"a": 2}])
        positions = configurations.positions
        assert list(positions) == [0, 2]
        assert (len(positions), positions[-1], list(positions[1:]), positions.index(2)) == (2, 2, [2], 1)
        assert 2 in positions
        assert 1 not in positions
        with pytest.raises(ValueError, match="1 is not among these positions"):
            positions.index(1)
        assert configurations.space.config(2).a == 3
        with pytest.raises(IndexError, match="position 3 is outside of this space of 3 configurations"):
            configurations.space.config(3)

    def test_it_describes_itself(self):
        parameters = {"model": ["a", "b"], ("x", "y"): [(1, 2), (3, 4)], "n": range(4)}
        assert repr(expand(parameters)) == "Configurations(16: model × x+y × n)"
        assert repr(expand(parameters, exclude=[{"n": 3}])) == "Configurations(12 of 16: model × x+y × n, 4 excluded)"
        assert repr(expand({"a": range(10**9)}, replicates=2)) == "Configurations(2,000,000,000: a × replicate)"
        assert repr(expand({})) == "Configurations(1: no parameters)"

    def test_its_names_and_what_varies(self):
        configurations = expand(
            {"a": [1], ("b", "c"): [(1, 2), (1, 3)]}, replicates=2, include=[{"a": 1, "b": 1, "c": 9}]
        )
        assert configurations.names == ("a", "b", "c")
        assert configurations.varying == ("c", "replicate")

    def test_a_thousand_million_are_described_counted_and_indexed_without_being_listed(self):
        parameters = {name: list(range(10)) for name in "abcdefghi"}
        exclude = [{"a": 1, "i": 3}, {"b": 2, "h": [1, 2]}, {"c": 3, "d": 4, "e": 5}, {"i": 9}]
        configurations = expand(parameters, exclude=exclude)
        assert len(configurations) == 89 * 98 * 999 * 100
        assert repr(configurations) == (
            "Configurations(871,327,800 of 1,000,000,000: a × b × c × d × e × f × g × h × i, 128,672,200 excluded)"
        )
        assert configurations[-1].asdict() == {**dict.fromkeys("abcdefgh", 9), "i": 8}
        middle = configurations[400_000_000]
        assert configurations.index(middle) == 400_000_000
        assert [config.i for config in configurations[-3:]] == [6, 7, 8]

    def test_one_axis_of_a_thousand_million_is_no_larger(self):
        configurations = expand({"a": range(10**9), "b": ["x", "y"]}, exclude=[{"a": 77, "b": "y"}])
        assert len(configurations) == 2 * 10**9 - 1
        assert configurations[155].asdict() == {"a": 78, "b": "y"} or configurations[155].a == 78
        assert configurations[-1].asdict() == {"a": 10**9 - 1, "b": "y"}
        assert configurations.index(Config(a=10**9 - 1, b="y")) == 2 * 10**9 - 2
        assert len(cloudpickle.dumps(configurations.space)) < 5000
        assert next(configurations.keys()).hex() == configurations[0].key

    def test_a_long_list_of_plain_values_is_digested_when_that_is_needed(self, monkeypatch):
        digested = []

        def counted(value, *, path):
            digested.append(value)
            return digest(value, path=path)

        monkeypatch.setattr("memento.matrix.axis.digest", counted)
        monkeypatch.setattr("memento.matrix.axis.digest_each", lambda values: pytest.fail("all were digested"))
        configurations = expand({"a": [*range(100_000), "x"], ("b", "c"): [(n, str(n)) for n in range(100_001)]})
        assert len(configurations) == 100_001**2
        assert digested == []
        assert configurations[5].key != configurations[6].key
        assert set(digested) == {0, 5, "5", 6, "6"}

    def test_it_pickles_with_what_was_chosen(self):
        configurations = expand(
            {"a": [1, 2, 3], "m": [[1]]}, exclude=[lambda config: config.a == 2], settings={"e": [1]}
        )
        back = pickle.loads(cloudpickle.dumps(configurations))
        assert dicts(back) == dicts(configurations)
        assert list(back.keys()) == list(configurations.keys())
        assert back.settings == {"e": [1]}

    def test_its_space_pickles_without_excludes_and_with_digests(self):
        calls = []

        class Value:
            def __memento_key__(self):
                calls.append(1)
                return 1

        configurations = expand({"a": [Value()], "b": [1, 2]}, exclude=[{"b": 1}], runtime={"cpus": 1})
        space = pickle.loads(cloudpickle.dumps(configurations.space))
        assert len(calls) == 1
        assert space.key(1).hex() == configurations[0].key
        assert space.private(0).b == 1
        assert space.size == 2
        assert len(calls) == 1


class TestGrid:
    def test_it_is_every_combination_in_declared_order(self):
        assert grid(a=[1, 2], b=("x", "y")) == [
            {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
        ]  # fmt: skip
        assert grid() == [{}]

    def test_what_is_no_list_is_a_single_value(self):
        assert grid(a=range(2), flag=False, name="abc", d={"x": 1}, s={1}) == [
            {"a": 0, "flag": False, "name": "abc", "d": {"x": 1}, "s": {1}},
            {"a": 1, "flag": False, "name": "abc", "d": {"x": 1}, "s": {1}},
        ]

    def test_it_is_shuffled_when_asked_in_an_order_that_depends_on_the_seed_alone(self):
        assert grid(a=[1, 2, 3], shuffle=True, seed=1) == [{"a": 2}, {"a": 3}, {"a": 1}]
        assert grid(a=[1, 2, 3], shuffle=True, seed=1) == grid(seed=1, shuffle=True, a=[1, 2, 3])
        assert grid(a=range(20), shuffle=True) != grid(a=range(20), shuffle=True, seed=1)
        assert sorted(one["a"] for one in grid(a=range(20), shuffle=True)) == list(range(20))

    def test_without_shuffling_a_seed_is_an_axis_as_any_other(self):
        assert grid(seed=[1, 2], a=3) == [{"seed": 1, "a": 3}, {"seed": 2, "a": 3}]

    def test_it_shows_a_bar_when_asked_each_time_it_is_iterated_over(self, capsys):
        assert list(grid(a=[1, 2], progbar=False)) == [{"a": 1}, {"a": 2}]
        assert capsys.readouterr() == ("", "")

        for shown in (grid(a=[1, 2], progbar=True), random_grid(2, a=[1, 2], progbar=True)):
            assert isinstance(shown, list)
            assert sorted(one["a"] for one in list(shown)) == [1, 2]
            assert "2/2" in capsys.readouterr().err

    def test_what_is_no_switch_is_refused(self):
        with pytest.raises(MatrixError, match=r"^shuffle is .*; write True or False: no axis can be called shuffle$"):
            grid(shuffle=[True, False])
        with pytest.raises(MatrixError, match=r"^progbar is the number 1; write True or False"):
            grid(a=[1], progbar=1)
        with pytest.raises(MatrixError, match=r"^seed is the string 'x'; write a whole number$"):
            grid(a=[1], shuffle=True, seed="x")

    def test_empty_axes_and_generators_are_refused(self):
        with pytest.raises(MatrixError, match=r"^a is empty"):
            grid(a=[])
        with pytest.raises(MatrixTypeError, match=r"^a is a generator, which can be read only once"):
            grid(a=(n for n in range(2)))

    def test_a_random_grid_is_seeded_and_without_replacement_where_that_is_possible(self):
        drawn = random_grid(6, a=[1, 2], b=[1, 2, 3])
        assert sorted(tuple(one.values()) for one in drawn) == list(itertools.product([1, 2], [1, 2, 3]))
        assert random_grid(n=6, a=[1, 2], b=[1, 2, 3]) == drawn
        assert random_grid(6, seed=1, a=[1, 2], b=[1, 2, 3]) != drawn
        assert random_grid(3, seed=0, a=range(10**9)) == [{"a": 906691059}, {"a": 413653999}, {"a": 813847339}]

    def test_a_grid_that_would_fill_the_memory_is_refused_at_once(self):
        with pytest.raises(MatrixError) as refused:
            grid(a=range(10**4), b=range(10**4))
        assert "the grid has 100,000,000 combinations" in str(refused.value)
        assert "write generate_configurations({'parameters': {...}})" in str(refused.value)
        assert "random_grid(n, ...)" in str(refused.value)

    def test_a_random_grid_of_more_than_can_be_counted_is_drawn_without_making_it(self):
        axes = {f"axis{number}": range(10) for number in range(30)}
        drawn = random_grid(5, **axes)
        assert len({tuple(setting.values()) for setting in drawn}) == 5
        assert random_grid(5, **axes) == drawn

    def test_a_random_grid_repeats_itself_where_it_has_to(self):
        drawn = random_grid(50, a=[1, 2])
        assert len(drawn) == 50
        assert {one["a"] for one in drawn} == {1, 2}

    def test_a_random_grid_may_be_empty_and_refuses_what_is_no_number(self):
        assert random_grid(0, a=[1]) == []
        with pytest.raises(MatrixError, match=r"^n is the number -1; write how many combinations to draw, 0 or more$"):
            random_grid(-1, a=[1])
        with pytest.raises(MatrixError, match=r"^seed is the string 'x'; write a whole number$"):
            random_grid(1, seed="x", a=[1])


# ── properties, against a model that lists everything ──────────────────────────────────────────────────────────────

VALUES = st.sampled_from([0, 1, 2, 3])
NAMES = "abcd"


@st.composite
def matrices(draw):
    count = draw(st.integers(1, 4))
    names = draw(st.permutations(NAMES[:count])) if draw(st.booleans()) else list(NAMES[:count])
    parameters = {}
    while names:
        if len(names) > 1 and draw(st.integers(0, 3)) == 0:
            pair = (names.pop(0), names.pop(0))
            parameters[pair] = draw(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4, unique=True))
        else:
            parameters[names.pop(0)] = draw(st.lists(VALUES, min_size=1, max_size=4, unique=True))
    flat = [name for key in parameters for name in (key if isinstance(key, tuple) else (key,))]
    rules = st.dictionaries(st.sampled_from(flat), VALUES | st.lists(VALUES, max_size=3), min_size=1)
    matrix = {"parameters": parameters, "exclude": draw(st.lists(rules, max_size=5))}
    if draw(st.integers(0, 2)) == 0:
        matrix["exclude"].append(Odd(draw(st.sampled_from(flat)), draw(VALUES)))
    if draw(st.integers(0, 2)) == 0:
        matrix["include"] = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(flat, VALUES)), max_size=3))
    if draw(st.integers(0, 2)) == 0:
        matrix["replicates"] = draw(st.integers(1, 3))
    if draw(st.integers(0, 2)) == 0:
        matrix["sample"] = {"n": draw(st.integers(1, 6)), "seed": draw(st.integers(0, 3))}
    if draw(st.integers(0, 3)) == 0:
        matrix["settings"] = {"e": draw(st.integers(0, 1))}
    return matrix


class Odd:
    """A callable exclude."""

    def __init__(self, name, limit):
        self.name, self.limit = name, limit

    def __call__(self, config):
        return config[self.name] > self.limit

    def __repr__(self):
        return f"Odd({self.name}, {self.limit})"


def model(matrix):
    """What a matrix means, by listing and comparing everything."""
    keys = [key if isinstance(key, tuple) else (key,) for key in matrix["parameters"]]
    axes = [
        values if isinstance(key, tuple) else [(value,) for value in values]
        for key, values in matrix["parameters"].items()
    ]
    points = [
        {name: value for key, row in zip(keys, rows, strict=True) for name, value in zip(key, row, strict=True)}
        for rows in itertools.product(*axes)
    ]

    def dropped(point, rule):
        if callable(rule):
            return rule(point)
        return all(point[name] in (value if isinstance(value, list) else [value]) for name, value in rule.items())

    kept = [point for point in points if not any(dropped(point, rule) for rule in matrix["exclude"])]
    sample = matrix.get("sample")
    if sample and sample["n"] < len(kept):
        kept = [kept[rank] for rank in sorted(random.Random(sample["seed"]).sample(range(len(kept)), sample["n"]))]
    kept += [point for number, point in enumerate(matrix.get("include", ())) if point not in kept]
    unique = [point for number, point in enumerate(kept) if point not in kept[:number]]
    replicates = range(matrix["replicates"]) if "replicates" in matrix else [None]
    return [
        (frozenset(point.items()), replicate, tuple(matrix.get("settings", {}).items()))
        for point in unique
        for replicate in replicates
    ]


def seen(config):
    return frozenset(config.items()), config.replicate, tuple(config.settings.items())


@given(matrices())
def test_excluding_and_including_agree_with_listing_everything(matrix):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixWarning)
        assert [seen(config) for config in generate_configurations(matrix)] == model(matrix)


@given(st.lists(matrices(), min_size=2, max_size=3))
def test_a_union_agrees_with_listing_everything(union):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixWarning)
        found = [seen(config) for config in generate_configurations(union)]
    expected = list(dict.fromkeys(one for matrix in union for one in model(matrix)))
    assert found == expected


@given(st.lists(matrices(), min_size=1, max_size=2), st.data())
def test_iteration_index_length_slices_and_search_agree(union, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatrixWarning)
        configurations = generate_configurations(union)
        listed = list(configurations)
    count = len(configurations)
    assert len(listed) == count
    assert [configurations[number] for number in range(count)] == listed
    assert [configurations[-number - 1] for number in range(count)] == listed[::-1]
    assert [configurations.index(config) for config in listed] == list(range(count))
    assert len(set(configurations.keys())) == count
    chosen = data.draw(st.slices(count))
    assert list(configurations[chosen]) == listed[chosen]
    assert [config in configurations[chosen] for config in listed] == [config in listed[chosen] for config in listed]
    assert list(configurations.positions[chosen]) == list(configurations.positions)[chosen]
