"""Source code → syntax trees → digests that comments, docstrings, annotations and layout do not change.

The walk is our own: `ast.dump` and byte code differ between Python versions for one and the same source.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import linecache
import os
import time
import types
from collections.abc import Iterator

from memento.sources import of_the_run

# Seconds by which the clock of the machine that files lie on may be behind.
CLOCKS_DIFFER = 10.0
# What says nothing about what the code does, or exists in some versions of Python only.
IGNORED_FIELDS = frozenset(
    {"annotation", "returns", "type_comment", "type_params", "type_ignores", "ctx", "kind", "simple"}
)


def digest_of(nodes: list[ast.AST]) -> str:
    """Return the digest, as hex, of what `nodes` do."""
    hasher = hashlib.sha256()
    for node in nodes:
        hasher.update(b"\n".join(_canonical(node)))
        hasher.update(b"\0")
    return hasher.hexdigest()[:32]


def _canonical(node: object) -> Iterator[bytes]:
    if isinstance(node, ast.AST):
        yield b"(" + type(node).__name__.encode()
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if isinstance(node, ast.JoinedStr):
                value = _pieces(node)
            elif name == "format_spec" and isinstance(value, ast.JoinedStr) and not _pieces(value):
                value = None
            if name in IGNORED_FIELDS or (value is None and name != "value") or value == []:
                continue
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                value = [_meant(statement, node) for statement in value if not _says_nothing(statement, node)]
            yield name.encode()
            yield from _canonical(value)
        yield b")"
    elif isinstance(node, list):
        yield b"["
        for item in node:
            yield from _canonical(item)
        yield b"]"
    else:  # a constant or an identifier; the type tells 1 from True and 1.0
        text = f"{node:x}" if type(node) is int else repr(node)  # Python refuses to write out the largest
        yield f"{type(node).__name__}:{text}".encode("utf-8", "surrogatepass")


def _pieces(node: ast.JoinedStr) -> list[ast.expr]:
    """Return the parts of an f-string with texts in a row as one: how they are cut differs between Python versions."""
    pieces: list[ast.expr] = []
    for part in node.values:
        last = pieces[-1] if pieces else None
        if not isinstance(part, ast.Constant):
            pieces.append(part)
        elif isinstance(last, ast.Constant):
            pieces[-1] = ast.Constant(value=str(last.value) + str(part.value))
        elif part.value:
            pieces.append(part)
    return pieces


def _says_nothing(statement: ast.stmt, around: ast.AST) -> bool:
    """Return whether a statement has no effect: docstrings, also those after attributes, and declared types."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    return isinstance(statement, ast.AnnAssign) and statement.value is None and not isinstance(around, ast.ClassDef)


def _meant(statement: ast.stmt, around: ast.AST) -> ast.AST:
    """Return what a statement with an annotation does: in a class they are read by data classes and validators."""
    if not isinstance(statement, ast.AnnAssign):
        return statement
    declared = [statement.annotation] if isinstance(around, ast.ClassDef) else []
    return ast.Assign(targets=[statement.target, *declared], value=statement.value or ast.Name(id=""))


def tree_of(file: str) -> ast.Module | None:
    """Return the syntax tree of the source file (or notebook cell) `file`, None where there is none.

    It is that of the file as it is now; in a worker, as it was when the run began.
    """
    source = of_the_run(file)
    if source is not None:
        return _parsed(file, source.text)
    try:
        facts = os.stat(file)
    except OSError:
        linecache.checkcache(file)
        text = "".join(linecache.getlines(file))
        return _parsed(file, text) if text else None
    return _parsed_file(file, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=256)
def _parsed_file(file: str, changed: int, size: int) -> ast.Module | None:
    try:
        with open(file, "rb") as source:
            return ast.parse(source.read())
    except (OSError, SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=256)
def _parsed(file: str, text: str | bytes) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None  # a cell with magics


def definition_of(code: types.CodeType) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Return the definition that was compiled to `code`, None where its source is not to be had."""
    tree = tree_of(code.co_filename)
    if tree is None:
        return None
    if code.co_name == "<lambda>":
        return _lambda_of(tree, code)
    named = _definitions(tree)[0].get(code.co_name, [])
    # The code begins with the first decorator.
    starts = [min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) for node in named]
    exact = [node for node, start in zip(named, starts, strict=True) if start == code.co_firstlineno]
    if exact:
        return exact[0]
    return named[0] if len(named) == 1 else None  # moved by an edit since it was imported


@functools.lru_cache(maxsize=256)
def _definitions(
    tree: ast.Module,
) -> tuple[dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]], dict[int, list[ast.Lambda]]]:
    """Return the functions in `tree` by their names, and the lambdas by their lines."""
    functions: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
    lambdas: dict[int, list[ast.Lambda]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Lambda):
            lambdas.setdefault(node.lineno, []).append(node)
    return functions, lambdas


def _lambda_of(tree: ast.Module, code: types.CodeType) -> ast.Lambda | None:
    on_line = _definitions(tree)[1].get(code.co_firstlineno, [])
    if len(on_line) < 2:
        return on_line[0] if on_line else None
    places = [
        (line, column)
        for line, _, column, _ in code.co_positions()
        if line is not None and column is not None and column
    ]
    if not places:
        # Python 3.12 keeps no position of a lambda that is a mere constant.
        same = [
            node for node in on_line if isinstance(node.body, ast.Constant) and _is_in(node.body.value, code.co_consts)
        ]
        return same[0] if same else None
    inside = [node for node in on_line if all(_covers(node.body, place) for place in places)]
    return min(inside, key=lambda node: _length(node.body), default=None)


def _is_in(value: object, constants: tuple[object, ...]) -> bool:
    return any(type(value) is type(each) and repr(value) == repr(each) for each in constants[-1:])


def _covers(node: ast.expr, place: tuple[int, int]) -> bool:
    end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
    return (node.lineno, node.col_offset) <= place < end


def _length(node: ast.expr) -> tuple[int, int]:
    return (node.end_lineno or node.lineno) - node.lineno, (node.end_col_offset or 0) - node.col_offset


def class_of(tree: ast.Module, qualname: str) -> ast.ClassDef | None:
    """Return the class called `qualname` in `tree`."""
    around: ast.AST = tree
    for name in qualname.replace(".<locals>", "").split("."):
        inside = _scopes_in(around).get(name)
        if inside is None:
            return None
        around = inside
    return around if isinstance(around, ast.ClassDef) else None


@functools.lru_cache(maxsize=1024)
def _scopes_in(around: ast.AST) -> dict[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the classes and functions that a module, class or function defines, by name; of several the last."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name: node for node in statements_of(around) if isinstance(node, kinds)}


def statements_of(around: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a module, function or class, also those under `if`, `try`, `with` and loops."""
    for node in ast.iter_child_nodes(around):
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
            yield from statements_of(node)


def code_digest(code: types.CodeType) -> tuple[str, bool]:
    """Return a digest of what a function does, and whether its source was found.

    Without source it is made of the compiled code, and another one with another version of Python: better to compute a
    result again than to take one for the result of something else.
    """
    node = definition_of(code)
    if node is not None:
        return digest_of([node]), True
    return compiled_digest(code), False


def compiled_digest(code: types.CodeType) -> str:
    """Return a digest of what a function was compiled to."""
    text = "\n".join(_compiled(code))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_as_loaded(code: types.CodeType) -> bool:
    """Return whether a function, loaded with `code`, still stands so in its file; True also where nobody can tell."""
    tree = tree_of(code.co_filename) if _is_younger(code.co_filename) else None
    if tree is None:
        return True
    known = _compiled_file(tree, code.co_filename)
    return known is None or "\n".join(_compiled(code)) in known.get(code.co_qualname, ())


def _is_younger(file: str) -> bool:
    """Return whether a file may have changed since this process began; False of what is no file."""
    try:
        facts = os.stat(file)
    except OSError:
        return False
    return max(facts.st_mtime, facts.st_ctime) > _began_at() - CLOCKS_DIFFER


@functools.cache
def _began_at() -> float:
    """Return when this process began, as Linux knows it, in seconds since the epoch; elsewhere, the epoch itself."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rsplit(b")", 1)[1].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return 0.0
    return time.time() - age


@functools.lru_cache(maxsize=256)
def _compiled_file(tree: ast.Module, file: str) -> dict[str, set[str]] | None:
    """Return the compiled functions of a file by their qualified names, None where it cannot be compiled."""
    try:
        waiting = [compile(tree, file, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: dict[str, set[str]] = {}
    while waiting:
        code = waiting.pop()
        found.setdefault(code.co_qualname, set()).add("\n".join(_compiled(code)))
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return found


def _compiled(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable))
    has_docstring = code.co_name != "<lambda>" and code.co_consts and isinstance(code.co_consts[0], str)
    for constant in code.co_consts[bool(has_docstring) :]:
        if isinstance(constant, types.CodeType):
            yield from _compiled(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))
        else:
            yield f"{type(constant).__name__}:{constant!r}"
