"""Values of libraries that say too little of themselves, or what changes: equal ones have one key, others another."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.coordinates
import astropy.units
import geopandas
import networkx
import numba
import numpy as np
import pandas as pd
import pytest
import shapely
from omegaconf import OmegaConf
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from memento import Memento
from memento.errors import UnkeyableValue
from memento.fingerprint.contents import code_in
from memento.hashing.encoding import Encoder
from memento.hashing.keys import digest
from memento.results.tables import shown

METRE, KILOMETRE, SECOND = astropy.units.m, astropy.units.km, astropy.units.s
POINT = [shapely.Point(0, 1)]


class Told(np.ndarray):
    """An array with a note, as numpy's own guide makes one; it is not pickled."""

    note: str

    def __array_finalize__(self, whole: Any) -> None:
        self.note = getattr(whole, "note", "")


class Kept(Told):
    """The same, and pickled as that guide says."""

    def __reduce__(self) -> Any:
        make, arguments, state = super().__reduce__()  # type: ignore[misc]
        return make, arguments, (*state, {"note": self.note})


def noted(kind: type[Told], note: str) -> Told:
    array = np.arange(3.0).view(kind)
    array.note = note
    return array


class Measured(pd.DataFrame):
    _metadata = ["unit"]  # noqa: RUF012 - as pandas asks for it


def measured(unit: str) -> Measured:
    table = Measured({"a": [1]})
    table.unit = unit
    return table


def with_attrs(**attrs: Any) -> pd.DataFrame:
    table = pd.DataFrame({"a": [1]})
    table.attrs.update(attrs)
    return table


@numba.njit
def doubled(x: Any) -> Any:
    return x * 2


@numba.njit
def tripled(x: Any) -> Any:
    return x * 3


def compiled(factor: int, **options: Any) -> Any:
    @numba.njit(**options)
    def times(x: Any) -> Any:
        return x * factor

    return times


@dataclasses.dataclass
class Options:
    rate: float = 0.1


def fitted(model: Any, *target: int) -> Any:
    return copy.deepcopy(model).fit(np.arange(8.0).reshape(4, 2), target)


def asking(**names: bool) -> Any:
    with config_context(enable_metadata_routing=True):
        return SVC().set_fit_request(**names)


class Boosted(BaseEstimator):  # type: ignore[misc]
    """Keeps what it learns as xgboost does: in no attribute whose name ends in "_"."""

    def __init__(self, depth: int = 1) -> None:
        self.depth = depth

    def fit(self, x: Any, y: Any) -> Boosted:
        self._Booster = list(y)
        return self


class Prepared(Boosted):
    """Has a place for what it will learn from the beginning, as the models of lightgbm have."""

    def __init__(self, depth: int = 1) -> None:
        super().__init__(depth)
        self._Booster = None
        self._options = {"depth": depth}


class Demanding(Boosted):
    """Cannot be made of its parameters alone."""

    def __init__(self, depth: int = 1, **options: Any) -> None:
        super().__init__(depth)
        if not options:
            raise ValueError("no options")
        self._options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"depth": self.depth}


FOREST, PIPELINE = RandomForestRegressor(n_estimators=2, random_state=0), make_pipeline(StandardScaler(), SVC())

DIFFERENT: dict[str, tuple[Any, ...]] = {
    "units of a quantity": (3 * METRE, 3 * KILOMETRE, 3 * SECOND, 4 * METRE, np.array(3.0), 3.0),
    "units of many quantities": ([1, 2] * METRE, [1, 2] * KILOMETRE, [1, 3] * METRE, np.array([1.0, 2.0])),
    "units": (METRE, KILOMETRE, METRE / SECOND, KILOMETRE / SECOND, METRE**2, "m"),
    "units of one name": (astropy.units.def_unit("rod", 3 * METRE), astropy.units.def_unit("rod", 4 * METRE)),
    "logarithmic units": (astropy.units.mag, astropy.units.dex(METRE), astropy.units.dex(SECOND)),
    "where an angle is cut": (
        astropy.coordinates.Longitude(350 * astropy.units.deg),
        astropy.coordinates.Longitude(350 * astropy.units.deg, wrap_angle=180 * astropy.units.deg),
    ),
    "orders of nodes and edges": (
        networkx.Graph([(1, 2), (2, 3)]),
        networkx.Graph([(2, 3), (1, 2)]),
        networkx.Graph([(3, 2), (1, 2)]),
    ),
    "graphs": (
        networkx.Graph([(1, 2)]),
        networkx.DiGraph([(1, 2)]),
        networkx.DiGraph([(2, 1)]),
        networkx.MultiGraph([(1, 2)]),
        networkx.MultiGraph([(1, 2)] * 2),
        networkx.Graph([(1, 2)], name="a"),
        networkx.Graph([(1, 2, {"weight": 3})]),
        networkx.Graph([(1, 2, {"weight": 4})]),
    ),
    "notes on an array": (noted(Told, "a"), noted(Told, "b"), np.arange(3.0)),
    "notes on an array that are pickled": (noted(Kept, "a"), noted(Kept, "b"), noted(Told, "a")),
    "projections of a map": (geopandas.GeoSeries(POINT, crs=4326), geopandas.GeoSeries(POINT, crs=3857)),
    "projections of a table": (
        geopandas.GeoDataFrame({"a": [1]}, geometry=POINT, crs=4326),
        geopandas.GeoDataFrame({"a": [1]}, geometry=POINT, crs=3857),
    ),
    "attributes of a table": (with_attrs(), with_attrs(unit="m"), with_attrs(unit="km")),
    "attributes of a table that its class declares": (measured("m"), measured("km")),
    "compiled functions": (doubled, tripled),
    "compiled functions without a name of their own": (compiled(1), compiled(2), compiled(1, fastmath=True)),
    "what an estimator asks for": (SVC(), asking(sample_weight=True), asking(sample_weight=False)),
    "configurations": (OmegaConf.create({"a": 1}), OmegaConf.create({"a": 2}), OmegaConf.create([1]), {"a": 1}),
    "classes of configurations": (OmegaConf.structured(Options), OmegaConf.create({"rate": 0.1})),
    "what an estimator has learnt": (SVC(), fitted(SVC(), 0, 1, 0, 1), fitted(SVC(), 1, 1, 0, 1)),
    "what a forest has learnt": (FOREST, fitted(FOREST, 0, 1, 0, 1), fitted(FOREST, 1, 1, 0, 1)),
    "what an estimator has learnt in private": (
        Boosted(),
        fitted(Boosted(), 0, 1, 0, 1),
        fitted(Boosted(), 1, 1, 0, 1),
    ),
    "what an estimator has learnt where nothing was": (
        Prepared(),
        Prepared(2),
        fitted(Prepared(), 0, 1, 0, 1),
        fitted(Prepared(), 1, 1, 0, 1),
    ),
    "what an estimator was given beside its parameters": (Demanding(a=1), Demanding(a=2)),
    "what an estimator puts out": (StandardScaler(), StandardScaler().set_output(transform="pandas")),
    "what a step of a pipeline has learnt": (PIPELINE, fitted(PIPELINE, 0, 1, 0, 1), fitted(PIPELINE, 1, 1, 0, 1)),
}

SAME: dict[str, tuple[Any, Any]] = {
    "quantities": ([1, 2] * METRE, [1, 2] * METRE),
    "maps": (geopandas.GeoSeries(POINT, crs=4326), geopandas.GeoSeries(POINT, crs=4326)),
    "configurations in another order": (OmegaConf.create({"a": 1, "b": 2}), OmegaConf.create({"b": 2, "a": 1})),
    "configurations with and without a reference": (
        OmegaConf.create({"a": 1, "b": "${a}"}), OmegaConf.create({"a": 1, "b": 1})
    ),
    "compiled functions made twice": (compiled(1), compiled(1)),
    "estimators that have learnt the same": (fitted(SVC(), 0, 1, 0, 1), fitted(SVC(), 0, 1, 0, 1)),
    "forests that have learnt the same": (fitted(FOREST, 0, 1, 0, 1), fitted(FOREST, 0, 1, 0, 1)),
    "estimators that have learnt the same in private": (fitted(Boosted(), 0, 1, 0, 1), fitted(Boosted(), 0, 1, 0, 1)),
    "estimators with a place for what they will learn": (Prepared(2), Prepared(2)),
    "estimators that ask for the same": (asking(sample_weight=True), asking(sample_weight=True)),
    "a table without attributes": (pd.DataFrame({"a": [1]}), with_attrs()),
}  # fmt: skip


def decomposed() -> Any:
    quantity = 3 * KILOMETRE
    quantity.to(METRE)
    quantity.info  # makes it
    quantity.unit.decompose()
    return quantity


def read() -> Any:
    config = OmegaConf.create({"a": {"b": 1}})
    assert config.a.b == 1
    return config


def called() -> Any:
    function = compiled(1)
    assert (function(2), function(2.0)) == (2, 2.0)
    return function


def traversed() -> Any:
    graph = networkx.DiGraph([(1, 2), (2, 3)])
    assert (list(graph.nodes), graph.degree[2], len(graph.edges)) == ([1, 2, 3], 2, 2)
    assert networkx.to_numpy_array(graph).sum() == 2
    return graph


def mapped() -> Any:
    table = geopandas.GeoDataFrame({"a": [1]}, geometry=POINT, crs=4326)
    table.sindex
    return table


USED: dict[str, tuple[Callable[[], Any], Any]] = {
    "a quantity": (decomposed, 3 * KILOMETRE),
    "a configuration": (read, OmegaConf.create({"a": {"b": 1}})),
    "a compiled function": (called, compiled(1)),
    "a graph": (traversed, networkx.DiGraph([(1, 2), (2, 3)])),
    "a map": (mapped, geopandas.GeoDataFrame({"a": [1]}, geometry=POINT, crs=4326)),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_values_that_differ_have_different_keys(kind: str) -> None:
    values = DIFFERENT[kind]
    assert len({digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("kind", SAME)
def test_values_that_are_equal_have_one_key(kind: str) -> None:
    first, second = SAME[kind]
    assert digest(first) == digest(second)


@pytest.mark.parametrize("kind", USED)
def test_to_use_a_value_does_not_change_its_key(kind: str) -> None:
    make, fresh = USED[kind]
    assert digest(make()) == digest(fresh)


@pytest.mark.parametrize("kind", [kind for kind in DIFFERENT if "notes" not in kind and "declares" not in kind])
def test_values_have_the_same_keys_when_they_have_travelled(kind: str) -> None:
    for value in DIFFERENT[kind]:
        if not isinstance(value, type(doubled)):
            assert digest(pickle.loads(pickle.dumps(value))) == digest(value)


SCRIPT = """
import numba, astropy.units, omegaconf
from memento.hashing.keys import digest

@numba.njit
def here(x):
    return x

print(*[digest(value).hex() for value in
        [here, 3 * astropy.units.km, astropy.units.m, omegaconf.OmegaConf.create({"a": {"b": 1}})]])
"""


@pytest.mark.slow
def test_they_have_the_same_keys_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(__file__).parent.parent)},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for seed in (1, 2)
    }  # fmt: skip
    assert len(said) == 1


def test_an_estimator_that_has_learnt_nothing_is_known_by_its_parameters_whatever_it_has_a_place_for() -> None:
    encoder = Encoder()
    assert encoder.encode(Prepared()).startswith(b"estimator2(class27:tests.test_foreign:Prepared")
    assert encoder.encode(fitted(Prepared(), 0, 1, 0, 1)).startswith(b"fitted3(")


def test_what_a_class_without_a_module_makes_has_a_key() -> None:
    nowhere = type("Nowhere", (), {"__module__": None})
    assert len(digest(nowhere())) == 16


# What is inside of compiled functions


class Odd:
    """Answers whatever it is asked for, as what wraps a foreign library may."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Odd:
        return self

    def __call__(self) -> Odd:
        return self


def test_an_object_that_answers_anything_has_no_code_but_its_class() -> None:
    assert list(code_in([Odd()])) == [Odd]


def test_the_function_in_a_compiled_one_is_its_code() -> None:
    assert doubled.py_func in list(code_in(doubled))


def helper(x: Any) -> Any:
    return x


@pytest.mark.parametrize("value", [np.vectorize(helper), np.array([helper, None], object), [np.vectorize(helper)]])
def test_the_functions_that_numpy_holds_are_code(value: Any) -> None:
    assert helper in list(code_in(value))


def uses_compiled(context: Any, config: Any) -> Any:
    return doubled(config.x)


def test_an_experiment_may_use_compiled_functions(tmp_path: Path) -> None:
    results = Memento(uses_compiled, executor="serial").run({"parameters": {"x": [1, 2]}}, cache_path=tmp_path)
    assert results is not None
    assert [result.inner for result in results] == [2, 4]


# torch, by a stand-in: its tensors are read through these names, and it is not among the tests' packages.


@pytest.fixture
def tensor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A class whose objects behave as tensors do where they are encoded."""

    class Tensor:
        __module__ = "torch"
        __slots__ = ("__dict__", "array", "device", "requires_grad")
        layout = "strided"
        is_quantized = is_meta = is_nested = False

        def __init__(self, array: Any, device: str = "cpu", *, requires_grad: bool = False, **attributes: Any) -> None:
            self.array, self.device, self.requires_grad = array, device, requires_grad
            self.__dict__.update(attributes)

        @property
        def dtype(self) -> str:
            return f"torch.{self.array.dtype}"

        @property
        def shape(self) -> tuple[int, ...]:
            return self.array.shape  # type: ignore[no-any-return]

        def detach(self) -> Tensor:
            return self

        resolve_conj = resolve_neg = detach

        def cpu(self) -> Tensor:
            return Tensor(self.array)

        def contiguous(self) -> Tensor:
            return Tensor(np.ascontiguousarray(self.array))

        def reshape(self, *shape: int) -> Tensor:
            return Tensor(self.array.reshape(*shape))

        def view(self, dtype: Any) -> Tensor:
            return Tensor(self.array.view(dtype))

        def as_subclass(self, kind: type) -> Tensor:
            assert kind is Tensor
            return self

        def numpy(self) -> Any:
            assert self.device == "cpu"
            return self.array

    module: Any = types.ModuleType("torch")
    module.Tensor, module.uint8 = Tensor, np.uint8
    module.strided, module.sparse_coo = "strided", "sparse_coo"
    monkeypatch.setitem(sys.modules, "torch", module)
    return Tensor


def test_tensors_are_known_by_dtype_shape_and_content_wherever_they_are(tensor: Any) -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert digest(tensor(array)) == digest(tensor(np.asfortranarray(array), device="cuda:0"))
    others = [tensor(array.T), tensor(array.astype("f4")), tensor(array + 1), array]
    assert len({digest(value) for value in [tensor(array), *others]}) == 5


def test_tensors_are_known_by_their_class_their_attributes_and_whether_they_learn(tensor: Any) -> None:
    array = np.arange(3.0)

    class Boxes(tensor):  # type: ignore[misc]
        pass

    values = tensor(array), tensor(array, requires_grad=True), Boxes(array), Boxes(array, format="xywh")
    assert len({digest(value) for value in values}) == 4


@pytest.mark.parametrize("what", ["is_quantized", "is_meta", "is_nested"])
def test_tensors_without_plain_numbers_are_refused(what: str, tensor: Any) -> None:
    value = tensor(np.arange(3.0))
    setattr(type(value), what, True)
    with pytest.raises(UnkeyableValue, match="is no tensor of plain numbers, one after the other"):
        digest(value)


# Tables


class Abstract:
    """A scalar of a library that does not become one of Python's, as the keys of jax do not."""

    shape = ()

    def item(self) -> Any:
        raise NotImplementedError("abstract")

    def __repr__(self) -> str:
        return "Abstract()"


def test_a_scalar_that_is_none_of_pythons_is_shown_as_text() -> None:
    with warnings.catch_warnings():
        assert "Abstract" in shown(Abstract())
