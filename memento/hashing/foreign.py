"""The rules of encoding for values of well-known libraries which say too little of themselves, or what changes.

A library is never imported here: who holds a value of it has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memento.hashing.arrays import array_form, encode_numpy, encode_pandas, encode_scipy
from memento.hashing.callables import encode_function
from memento.hashing.forms import encode_text, group, leaf
from memento.hashing.naming import module_of, qualified, resolve
from memento.hashing.reducing import not_remembered

if TYPE_CHECKING:
    from memento.hashing.encoding import Encoder

Rule = Callable[["Encoder", Any], bytes | None]


def encode_foreign(encoder: Encoder, value: Any) -> bytes | None:
    """Return the form of a value of a known library or of a class derived from one of its, None for any other."""
    for base in type(value).__mro__:
        rule = _RULES.get(module_of(base).partition(".")[0])
        form = rule(encoder, value) if rule is not None else None
        if form is not None:
            return form
    return None


def _encode_scipy(encoder: Encoder, value: Any) -> bytes | None:
    if type(value).__qualname__ in ("rv_continuous_frozen", "rv_discrete_frozen"):
        return _encode_distribution(encoder, value)
    return encode_scipy(encoder, value)


def _encode_distribution(encoder: Encoder, value: Any) -> bytes:
    # By what scipy itself makes it anew from: it holds methods of its own, and the generator of the whole process.
    family = value.dist
    made_of = {name: one for name, one in family._updated_ctor_param().items() if name not in ("longname", "seed")}
    return group(
        b"distribution",
        [
            encoder.encode(type(family), ".dist"),
            encoder.encode(made_of, ".dist"),
            encoder.sequence(b"args", value.args),
            encoder.mapping(b"keywords", value.kwds.items()),
            encoder.encode(family._random_state, ".random_state"),
        ],
    )


def _encode_sklearn(encoder: Encoder, value: Any) -> bytes | None:
    if type(value).__name__ in ("MetadataRequest", "MethodMetadataRequest"):
        # It holds the estimator that it is about.
        asked = {name: item for name, item in vars(value).items() if name != "owner"}
        return group(b"metadata-request", [encoder.encode(type(value)), encoder.encode(asked)])
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    if base is None or not isinstance(value, base):
        return None
    parameters = value.get_params(deep=False)
    form = encoder.mapping(b"parameters", parameters.items(), attributes=True)
    learnt = _no_parameters(value, parameters)
    # What was learnt ends in "_", by the library's own convention; not all that follow it elsewhere keep to this.
    is_fitted = any(name.endswith("_") and not name.startswith("_") for name in learnt)
    if not is_fitted and (not learnt or _is_as_made(encoder, value, parameters, learnt)):
        return group(b"estimator", [encoder.encode(type(value)), form])
    return group(
        b"fitted", [encoder.encode(type(value)), form, encoder.mapping(b"learnt", learnt.items(), attributes=True)]
    )


def _no_parameters(estimator: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    attributes = not_remembered(type(estimator), vars(estimator))
    return {name: item for name, item in attributes.items() if name not in parameters}


def _is_as_made(encoder: Encoder, estimator: Any, parameters: dict[str, Any], learnt: dict[str, Any]) -> bool:
    """Return whether what an estimator has beside its parameters is what its class gives to each of them.

    To make another is safe: by the library's convention an estimator's `__init__` stores what it is given, no more.
    """
    try:
        another = type(estimator)(**parameters)
    except Exception:  # it does not follow that convention
        return False
    form = encoder.form_apart(learnt)
    return form is not None and form == encoder.form_apart(_no_parameters(another, parameters))


def _encode_torch(encoder: Encoder, value: Any) -> bytes | None:
    torch: Any = sys.modules.get("torch")
    kind: Any = getattr(torch, "Tensor", ())
    if not isinstance(value, kind):
        return None
    if value.layout == torch.sparse_coo and not value.is_meta:
        table = value.detach().coalesce()
        parts = table.indices(), table.values()
        return group(b"sparse-tensor", [encoder.encode(tuple(map(int, value.shape))), *map(encoder.encode, parts)])
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
        encoder.refuse(value, "is no tensor of plain numbers, one after the other")
    tensor = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    shape = encoder.encode(tuple(map(int, tensor.shape)))
    # As bytes, because numpy lacks some of its types; not the device, because it says where and not what.
    content = tensor.reshape(-1).view(torch.uint8).as_subclass(kind).numpy()
    form = group(b"tensor", [encode_text(str(value.dtype)), shape, array_form(encoder, content)])
    attributes = getattr(value, "__dict__", {})
    if type(value) is kind and not value.requires_grad and not attributes:
        return form
    more = encoder.encode(bool(value.requires_grad)), encoder.mapping(b"state", attributes.items(), attributes=True)
    return group(b"tensor-kind", [encoder.encode(type(value)), form, *more])


def _encode_numba(encoder: Encoder, value: Any) -> bytes | None:
    # It would tell a number that each process makes anew.
    function = getattr(value, "py_func", None)
    if function is None or not hasattr(value, "targetoptions"):
        return None
    if resolve(function.__module__, function.__qualname__) is value and function.__module__ != "__main__":
        return leaf(b"function", qualified(function).encode())
    options = encoder.mapping(b"options", value.targetoptions.items())
    return group(b"compiled", [encode_function(encoder, function), options])


def _encode_omegaconf(encoder: Encoder, value: Any) -> bytes | None:
    # Each part of it holds the whole, and remembers what it was asked.
    library: Any = sys.modules["omegaconf"]
    if not library.OmegaConf.is_config(value):
        return None
    content = library.OmegaConf.to_container(value, resolve=True)
    kind = library.OmegaConf.get_type(value)
    return group(b"omegaconf", [encoder.encode(kind), encoder.encode(content)])


def _encode_astropy(encoder: Encoder, value: Any) -> bytes | None:
    names = {base.__name__ for base in type(value).__mro__ if base.__module__.startswith("astropy.units.")}
    if "Quantity" in names:
        # `info` is about it, and made when it is asked for.
        more = {name: item for name, item in vars(value).items() if name != "info"}
        numbers = array_form(encoder, sys.modules["numpy"].asarray(value))
        return group(b"quantity", [encoder.encode(type(value)), numbers, encoder.encode(more)])
    if "UnitBase" in names:
        # It would contain itself: units remember what they were decomposed into.
        whole = value.decompose()
        bases = {base.name: power for base, power in zip(whole.bases, whole.powers, strict=True)}
        return group(b"unit", [encode_text(value.to_string()), encoder.encode(whole.scale), encoder.encode(bases)])
    if "FunctionUnitBase" in names:
        parts = value.physical_unit, value.function_unit
        return group(b"unit", [encoder.encode(type(value)), *map(encoder.encode, parts)])
    return None


def _encode_networkx(encoder: Encoder, value: Any) -> bytes | None:
    kind: Any = getattr(sys.modules.get("networkx"), "Graph", ())
    if not isinstance(value, kind):
        return None
    # In the order in which nodes and edges were added, as algorithms go through them and matrices have them.
    nodes = [(node, dict(known)) for node, known in value._node.items()]
    sides = [value._adj, *([value._pred] if value.is_directed() else [])]
    edges = [[(node, list(others.items())) for node, others in side.items()] for side in sides]
    # Views that it keeps have the names of properties of its class.
    own = {name: item for name, item in vars(value).items() if name[0] != "_" and not hasattr(type(value), name)}
    parts = encoder.encode(nodes, ".nodes"), encoder.encode(edges, ".adj"), encoder.encode(own)
    return group(b"graph", [encoder.encode(type(value)), *parts])


_RULES: dict[str, Rule] = {
    "astropy": _encode_astropy,
    "networkx": _encode_networkx,
    "numba": _encode_numba,
    "numpy": encode_numpy,
    "omegaconf": _encode_omegaconf,
    "pandas": encode_pandas,
    "scipy": _encode_scipy,
    "sklearn": _encode_sklearn,
    "torch": _encode_torch,
}
