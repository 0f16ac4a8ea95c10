"""What a single configuration promises: reading, immutability, text, equality, key, pickling."""

from __future__ import annotations

import copy
import enum
import io
import pickle
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Perceptron
from sklearn.svm import SVC

from memento.config import Config, position_of
from memento.errors import MatrixError, UnkeyableValue, UnknownParameter
from memento.hashing import KeyMaker, digest
from memento.matrix import generate_configurations
from memento.names import RESERVED
from memento.point import digests_of
from memento.settings import Settings


class Colour(enum.Enum):
    RED = 1


class Unkeyable:
    def __reduce_ex__(self, protocol):
        raise TypeError("no")


def only(parameters, **others):
    """The one configuration of a matrix."""
    (config,) = generate_configurations({"parameters": parameters, **others})
    return config


class TestReading:
    def test_a_parameter_is_an_attribute_and_an_item(self):
        config = Config(lr=0.1, data="mnist")
        assert (config.lr, config["data"]) == (0.1, "mnist")

    def test_it_is_a_mapping(self):
        config = Config(lr=0.1, data="mnist")
        assert isinstance(config, Mapping)
        assert list(config) == ["lr", "data"]
        assert len(config) == 2
        assert "lr" in config
        assert "momentum" not in config
        assert dict(config) == {"lr": 0.1, "data": "mnist"}
        assert {**config} == {"lr": 0.1, "data": "mnist"}
        assert config.get("momentum", 0.9) == 0.9

    @pytest.mark.parametrize("read", [lambda config: config.dpeth, lambda config: config["dpeth"]])
    def test_an_unknown_parameter_is_answered_with_the_nearest_one(self, read):
        with pytest.raises(UnknownParameter) as caught:
            read(Config(depth=2, lr=0.1))
        assert str(caught.value) == "no parameter 'dpeth'; did you mean 'depth'? (there is: 'depth', 'lr')"
        assert caught.value.name == "dpeth"

    def test_an_unknown_parameter_is_what_getattr_and_get_expect(self):
        config = Config(lr=0.1)
        assert getattr(config, "depth", None) is None
        assert not hasattr(config, "depth")
        with pytest.raises(KeyError):
            config["depth"]
        with pytest.raises(AttributeError):
            config.depth

    def test_names_that_are_no_identifiers_are_read_as_items(self):
        assert Config(**{"learning rate": 0.1})["learning rate"] == 0.1

    def test_asdict_is_a_new_plain_dict_each_time(self):
        config = Config(lr=0.1)
        first = config.asdict()
        first["lr"] = 7
        assert type(first) is dict
        assert config.asdict() == {"lr": 0.1}

    def test_settings_are_read_by_name_and_by_attribute(self):
        config = Config.of({"lr": 0.1}, settings={"epochs": 3})
        assert config.settings["epochs"] == config.settings.epochs == 3
        assert config.settings == {"epochs": 3}
        assert repr(config.settings) == "{'epochs': 3}"

    def test_settings_beside_parameters_may_have_their_names_when_a_config_is_made_by_hand(self):
        config = Config.of({"lr": 0.1}, settings={"lr": 0.2})
        assert (config.lr, config.settings.lr) == (0.1, 0.2)

    def test_an_unknown_setting_is_answered_with_the_nearest_one(self):
        with pytest.raises(
            UnknownParameter, match=r"^no setting 'epoch'; did you mean 'epochs'\? \(there is: 'epochs'\)$"
        ):
            Settings({"epochs": 3}).epoch

    def test_without_settings_there_is_an_empty_mapping(self):
        assert dict(Config(lr=0.1).settings) == {}

    def test_replicate_is_none_where_there_are_none(self):
        assert Config(lr=0.1).replicate is None
        assert Config.of({"lr": 0.1}, replicate=3).replicate == 3

    def test_replicate_is_no_parameter(self):
        config = Config.of({"lr": 0.1}, replicate=3)
        assert dict(config) == {"lr": 0.1}
        with pytest.raises(
            UnknownParameter, match=r"no parameter 'replicate'; the replicate is read as config\.replicate"
        ):
            config["replicate"]


class TestNames:
    def test_the_reserved_names_are_few_and_fixed(self):
        assert set(RESERVED) == {
            "settings", "keys", "items", "values", "get", "asdict", "key", "label", "replicate",
            "context", "config", "of",
        }  # fmt: skip

    def test_every_public_attribute_of_a_config_is_reserved(self):
        public = {name for name in dir(Config) if not name.startswith("_")}
        assert public <= RESERVED

    @pytest.mark.parametrize("name", sorted(RESERVED))
    def test_a_reserved_name_is_refused_with_a_better_one(self, name):
        with pytest.raises(MatrixError) as caught:
            Config(**{name: 1})
        assert str(caught.value) == (
            f"Config: a parameter cannot be named {name!r}, because that is reserved; call it for example '{name}_'"
        )

    def test_a_name_that_begins_with_an_underscore_is_refused(self):
        with pytest.raises(
            MatrixError, match="'_lr', because that begins with an underscore; call it for example 'lr_'"
        ):
            Config(_lr=1)

    def test_an_empty_name_is_refused(self):
        with pytest.raises(MatrixError, match="cannot be named '', because that is empty"):
            Config(**{"": 1})

    def test_self_and_name_are_names_like_any_other(self):
        config = Config(**{"self": 1, "name": 2, "parameters": 3})
        assert (config.self, config.name, config.parameters) == (1, 2, 3)


class TestImmutability:
    def test_setting_and_deleting_say_what_to_do(self):
        config = Config(lr=0.1)
        with pytest.raises(AttributeError) as caught:
            config.lr = 1
        assert str(caught.value) == (
            "a configuration cannot be changed: 'lr' is not set; "
            "make another with Config(**{**config.asdict(), 'lr': ...}), or use a variable"
        )
        with pytest.raises(AttributeError, match="a configuration cannot be changed: 'lr' is not deleted"):
            del config.lr
        with pytest.raises(TypeError):
            config["lr"] = 1
        assert config.lr == 0.1

    def test_settings_cannot_be_changed(self):
        settings = Config.of({}, settings={"epochs": 3}).settings
        with pytest.raises(AttributeError, match="settings cannot be changed: 'epochs' is set in the matrix"):
            settings.epochs = 4
        with pytest.raises(AttributeError, match="settings cannot be changed"):
            del settings.epochs
        with pytest.raises(TypeError):
            settings["epochs"] = 4

    def test_what_a_config_was_made_from_can_change_without_changing_it(self):
        parameters, settings = {"lr": 0.1}, {"epochs": 3}
        config = Config.of(parameters, settings=settings)
        parameters["lr"] = settings["epochs"] = 7
        assert (config.lr, config.settings.epochs) == (0.1, 3)


class TestText:
    def test_it_prints_as_a_dict_with_readable_values(self):
        config = Config(model=SVC, dataset="imagenet")
        assert str(config) == repr(config) == f"{config}" == "{'model': sklearn.svm.SVC, 'dataset': 'imagenet'}"

    def test_it_prints_its_replicate(self):
        assert str(only({"lr": [1]}, replicates=1)) == "{'lr': 1, 'replicate': 0}"

    def test_its_label_is_what_varies_in_the_matrix(self):
        configurations = generate_configurations({"parameters": {"model": [SVC, Perceptron], "dataset": ["mnist"]}})
        assert [config.label for config in configurations] == [
            "model=sklearn.svm.SVC",
            "model=sklearn.linear_model.Perceptron",
        ]

    def test_its_label_is_everything_where_nothing_varies(self):
        assert only({"model": [SVC], "dataset": ["mnist"]}).label == "model=sklearn.svm.SVC dataset='mnist'"
        assert Config(lr=0.1, depth=2).label == "lr=0.1 depth=2"

    def test_its_label_has_the_replicate_where_there_are_several(self):
        configurations = generate_configurations({"parameters": {"lr": [1]}, "replicates": 2})
        assert [config.label for config in configurations] == ["replicate=0", "replicate=1"]

    def test_its_label_is_short(self):
        assert Config(text="x" * 100).label == "text='" + "x" * 38 + "…"

    def test_settings_of_a_union_are_no_part_of_a_label(self):
        both = [{"parameters": {"lr": [1]}, "settings": {"e": n}} for n in (1, 2)]
        assert [config.label for config in generate_configurations(both)] == ["lr=1", "lr=1"]


class TestEquality:
    def test_order_of_names_does_not_matter(self):
        assert Config(a=1, b=2) == Config(b=2, a=1)
        assert hash(Config(a=1, b=2)) == hash(Config(b=2, a=1))

    @pytest.mark.parametrize("other", [Config(a=1.0), Config(a=True), Config(b=1), Config(a=1, b=2), Config()])
    def test_other_values_names_and_types_differ(self, other):
        assert Config(a=1) != other

    def test_settings_and_replicates_count(self):
        assert Config.of({"a": 1}, settings={"e": 1}) != Config.of({"a": 1}, settings={"e": 2})
        assert Config.of({"a": 1}, settings={"e": 1}) == Config.of({"a": 1}, settings={"e": 1})
        assert Config.of({"a": 1}, replicate=0) != Config(a=1)
        assert Config.of({"a": 1}, replicate=0) == Config.of({"a": 1}, replicate=0)

    def test_arrays_and_nan_are_compared_by_content(self):
        assert Config(a=np.arange(3)) == Config(a=np.arange(3))
        assert Config(a=np.arange(3)) != Config(a=np.arange(4))
        assert Config(a=float("nan")) == Config(a=float("nan"))

    def test_other_names_differ_without_looking_at_values(self):
        assert Config(a=Unkeyable()) != Config(b=Unkeyable())

    def test_it_equals_nothing_but_a_config(self):
        assert Config(a=1) != {"a": 1}
        assert (Config(a=1) == {"a": 1}) is False

    def test_one_from_a_matrix_equals_one_made_by_hand(self):
        config = only({"a": [1], ("b", "c"): [(2, 3)]}, settings={"e": 1}, replicates=1)
        made = Config.of({"c": 3, "b": 2, "a": 1}, settings={"e": 1}, replicate=0)
        assert config == made
        assert hash(config) == hash(made)
        assert {config: "found"}[made] == "found"

    def test_it_can_be_a_value_itself(self):
        assert digest(Config(a=1, b=2)) == digest(Config(b=2, a=1))
        assert digest(Config(a=1)) != digest(Config(a=2))
        assert digest(Config.of({"a": 1}, experiment="x")) == digest(only({"a": [1]}))
        assert digest(Settings({"a": 1})) != digest(Settings({"a": 2}))


class TestKey:
    def test_it_is_32_hexadecimal_digits_made_of_names_values_settings_and_experiment(self):
        config = Config.of({"lr": 0.1, "depth": 2}, settings={"epochs": 3}, replicate=1, experiment="train:main")
        expected = KeyMaker("train:main", ("depth", "lr", "replicate"), {"epochs": digest(3)})
        assert config.key == expected.key([digest(2), digest(0.1), digest(1)]).hex()
        assert len(config.key) == 32

    def test_it_is_the_same_from_a_matrix_and_by_hand(self):
        config = only({("depth", "lr"): [(2, 0.1)]}, settings={"epochs": 3})
        assert config.key == Config.of({"lr": 0.1, "depth": 2}, settings={"epochs": 3}).key

    def test_it_is_the_same_in_another_process_with_another_hash_seed(self):
        code = "from memento.config import Config; print(Config(a={'x', 'y', 'z'}, b=1).key)"
        keys = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
                capture_output=True, text=True, check=True,
            ).stdout.strip()
            for seed in ("1", "2")
        }  # fmt: skip
        assert keys == {Config(b=1, a={"x", "y", "z"}).key}

    def test_a_value_without_a_digest_can_be_looked_at_but_not_keyed(self):
        config = Config(model=Unkeyable(), lr=0.1)
        assert config.lr == 0.1
        assert list(config) == ["model", "lr"]
        assert config == config
        with pytest.raises(UnkeyableValue, match=r"parameters\['model'\]"):
            config.key
        with pytest.raises(UnkeyableValue):
            hash(config)

    def test_paths_of_unkeyable_values_name_the_place(self):
        with pytest.raises(UnkeyableValue, match=r"settings\['s'\]\[1\]"):
            digests_of({"s": [1, Unkeyable()]}, "settings")


class TestCopies:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_it_pickles_by_value(self, protocol):
        config = only({"a": [1], ("b", "c"): [([2], SVC)]}, settings={"e": [1]}, replicates=1)
        back = pickle.loads(pickle.dumps(config, protocol))
        assert back == config
        assert (back.key, back.label, str(back), back.replicate) == (config.key, config.label, str(config), 0)
        assert back.asdict() == {"a": 1, "b": [2], "c": SVC}
        assert back.settings == {"e": [1]}

    def test_its_pickle_does_not_grow_with_the_matrix(self):
        configurations = generate_configurations({"parameters": {"a": ["x" * 1000 + str(n) for n in range(100)]}})
        assert len(pickle.dumps(configurations[0])) < 3000

    def test_its_key_survives_with_the_experiment_in_it(self):
        config = generate_configurations({"parameters": {"a": [1, 2]}}, experiment="train:main")[1]
        assert pickle.loads(pickle.dumps(config)).key == config.key != Config(a=2).key

    def test_its_label_survives(self):
        config = generate_configurations({"parameters": {"a": [1, 2], "b": [3]}})[1]
        assert pickle.loads(pickle.dumps(config)).label == "a=2"

    def test_it_pickles_without_digests_too(self):
        class Local:
            def __reduce__(self):
                return Local, ()

        config = Config(n=1, f=io.StringIO)
        assert pickle.loads(pickle.dumps(config)).f is io.StringIO
        assert copy.copy(Config(model=Local())).asdict().keys() == {"model"}

    def test_copy_and_deepcopy_are_equal_and_deepcopy_is_apart(self):
        config = only({"a": [[1]]})
        assert copy.copy(config) == copy.deepcopy(config) == config
        copy.deepcopy(config).a.append(2)
        assert config.a == [1]


def counter():
    number = 0

    def add():
        """Count one more."""
        nonlocal number
        number += 1
        return number

    def total():
        return number

    return add, total


class TestPrivate:
    """`space.private(position)`: what an experiment is given."""

    def test_changing_a_value_changes_no_other_configuration(self):
        space = generate_configurations({"parameters": {"model": [[1]], "lr": [1, 2]}}).space
        first, second = space.private(0), space.private(1)
        first.model.append("changed")
        assert first.model == [1, "changed"]
        assert second.model == space.private(0).model == space.config(0).model == [1]

    def test_a_value_is_copied_once_for_each_configuration(self):
        config = generate_configurations({"parameters": {"model": [[1], 5], "lr": [1, 2]}}).space.private(0)
        assert config.model is config.model is config["model"]

    def test_a_value_is_pickled_once_for_all_configurations(self):
        pickled = []

        class Model:
            def __memento_key__(self):
                return 1

            def __reduce__(self):
                pickled.append(1)
                return list, ()

        space = generate_configurations({"parameters": {"model": [Model()], "lr": range(10)}}).space
        assert [space.private(position).model for position in range(10)] == [[]] * 10
        assert len(pickled) == 1

    def test_settings_are_its_own_too(self):
        space = generate_configurations({"parameters": {"lr": [1, 2]}, "settings": {"layers": [1]}}).space
        space.private(0).settings.layers.append(2)
        assert space.private(0).settings.layers == space.private(1).settings.layers == [1]

    def test_linked_values_are_its_own_too(self):
        space = generate_configurations({"parameters": {("a", "b"): [([1], 2), (3, [4])]}}).space
        space.private(0).a.append(2)
        space.private(1).b.append(2)
        assert space.private(0).a == [1]
        assert space.private(1).b == [4]

    def test_its_key_is_that_of_the_matrix_whatever_it_does(self):
        configurations = generate_configurations({"parameters": {"model": [[1], [2]]}, "replicates": 2})
        config = configurations.space.private(1)
        config.model.append(2)
        assert config.key == configurations[1].key
        assert config == configurations[1]
        assert config.replicate == 1
        assert configurations.index(config) == position_of(config) == 1
        assert pickle.loads(pickle.dumps(config)).key == configurations[1].key

    def test_values_that_cannot_change_are_shared(self):
        values = [1, "a", None, 2.5, SVC, len, Colour.RED, (1, ("b", None)), b"x", range(3), np.float64(2)]
        configurations = generate_configurations({"parameters": {"v": values}})
        for position, value in enumerate(values):
            assert configurations.space.private(position).v is value
            assert type(configurations.space.private(position)._source) is type(configurations.space)

    def test_what_a_closure_holds_is_its_own(self):
        space = generate_configurations({"parameters": {"count": [counter()], "x": [1, 2, 3]}}).space
        counts = [space.private(position).count for position in range(3)]
        assert [(add(), add(), total()) for add, total in counts] == [(1, 2, 2)] * 3
        assert space.config(0).count[1]() == 0

    def test_what_a_functions_defaults_and_attributes_hold_is_its_own(self):
        remember = lambda x, seen=[]: seen.append(x) or list(seen)  # noqa: E731
        remember.calls = []
        remember.itself = remember
        space = generate_configurations({"parameters": {"f": [remember], "x": [1, 2]}}).space
        first, second = space.private(0).f, space.private(1).f
        first.calls.append(1)
        assert (first(1), second(2), second.calls, second.itself) == ([1], [2], [], second)
        assert (remember.__defaults__, remember.calls) == (([],), [])

    def test_a_copied_function_uses_the_globals_of_its_module_and_is_called_as_before(self):
        space = generate_configurations({"parameters": {"count": [counter()], "x": [1, 2]}}).space
        copied, original = space.private(0).count[0], space.config(0).count[0]
        assert copied is not original
        assert copied.__globals__ is globals()
        assert (copied.__qualname__, copied.__doc__, copied.__module__) == (
            "counter.<locals>.add",
            "Count one more.",
            __name__,
        )

    def test_beside_what_is_copied_classes_members_of_enums_and_functions_of_modules_stay_themselves(self):
        class Local:
            pass

        kept = [Local, Colour.RED, counter, len]
        values = generate_configurations({"parameters": {"v": [[*kept, lambda: 1]]}}).space.private(0).v
        assert all(value is one for value, one in zip(values, kept, strict=False))
        assert values[4]() == 1

    def test_beside_a_value_that_is_copied_the_others_are_shared(self):
        text = "".join(["never", "interned"])
        assert generate_configurations({"parameters": {"m": [[1]], "t": [text]}}).space.private(0).t is text

    def test_a_tuple_that_holds_a_list_is_copied(self):
        space = generate_configurations({"parameters": {"v": [(1, [2])]}}).space
        space.private(0).v[1].append(3)
        assert space.private(0).v == (1, [2])

    def test_what_cannot_be_pickled_is_deep_copied_or_shared(self):
        class Stubborn:
            def __memento_key__(self):
                return 1

            def __reduce__(self):
                raise TypeError("never")

        class Copyable(Stubborn):
            state = 0

            def __memento_key__(self):
                return 2

            def __deepcopy__(self, memo):
                other = Copyable()
                other.state = self.state
                return other

        values = [Stubborn(), Copyable()]
        space = generate_configurations({"parameters": {"v": values}}).space
        assert space.private(0).v is values[0]
        space.private(1).v.state = 1
        assert space.private(1).v.state == 0

    def test_it_is_a_config_like_any_other(self):
        config = generate_configurations({"parameters": {"model": [[1]], "n": range(2)}}).space.private(1)
        assert config.asdict() == {"model": [1], "n": 1}
        assert str(config) == "{'model': [1], 'n': 1}"
        assert config.label == "n=1"


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}_", fullmatch=True), st.integers() | st.text() | st.booleans(), max_size=4
    )
)
def test_whatever_the_parameters_a_config_reads_back_what_it_was_given(parameters):
    config = Config(**parameters)
    assert config.asdict() == parameters
    assert pickle.loads(pickle.dumps(config)) == config
    assert config == Config(**dict(reversed(parameters.items())))


def test_parameters_are_completed_as_attributes() -> None:
    assert {"lr", "depth", "asdict"} <= set(dir(Config(lr=0.1, depth=3)))
