"""What is recorded of a call, and what the caller gets: for every recorder, in any order."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import itertools
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento import NameClash, OptionError, UnkeyableValue, memfile, memfunc, memlist, read_memfile, time_taken
from memento.capture import capture_time


class TestArguments:
    def test_positional_ones_and_defaults_are_recorded_under_their_names(self):
        data = []

        @memlist(data)
        def area(width, height=2, *, unit="m"):
            return {"area": width * height}

        area(3)
        area(3, 4)
        area(height=5, width=3, unit="cm")

        assert data == [
            {"width": 3, "height": 2, "unit": "m", "area": 6},
            {"width": 3, "height": 4, "unit": "m", "area": 12},
            {"width": 3, "height": 5, "unit": "cm", "area": 15},
        ]

    def test_further_ones_are_recorded_too(self):
        data = []

        @memlist(data)
        def collect(first, /, second=2, *rest, last=9, **named):
            return {}

        collect(1)
        collect(1, 2, 3, 4, last=5, other=6)

        assert data == [
            {"first": 1, "second": 2, "rest": [], "last": 9},
            {"first": 1, "second": 2, "rest": [3, 4], "last": 5, "other": 6},
        ]

    @given(
        kinds=st.lists(st.sampled_from(list(inspect._ParameterKind)), max_size=6),
        defaults=st.booleans(),
        extra=st.integers(0, 2),
    )
    def test_they_are_bound_as_python_binds_them(self, kinds, defaults, extra):
        from memento.capture.binding import binding_of

        kinds = sorted(kinds)
        for single in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            while kinds.count(single) > 1:
                kinds.remove(single)
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        parameters = [
            inspect.Parameter(
                f"p{n}", kind, default=n if defaults and kind not in variadic else inspect.Parameter.empty
            )
            for n, kind in enumerate(kinds)
        ]

        def func(*args, **kwargs): ...

        func.__signature__ = signature = inspect.Signature(parameters)
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        args = [10 + n for n in range(len(positional))] + [90] * extra * (variadic[0] in kinds)
        kwargs = {p.name: 50 for p in parameters if p.kind is p.KEYWORD_ONLY}
        kwargs |= {"further": 7} if variadic[1] in kinds else {}

        for given_args in (args, args[:1] if defaults else args):
            bound = signature.bind(*given_args, **kwargs)
            bound.apply_defaults()
            expected = {}
            for parameter in parameters:
                value = bound.arguments[parameter.name]
                if parameter.kind is parameter.VAR_KEYWORD:
                    expected.update(value)
                else:
                    expected[parameter.name] = list(value) if parameter.kind is parameter.VAR_POSITIONAL else value
            assert binding_of(func).bind(*given_args, **kwargs) == expected

    def test_a_call_that_does_not_fit_is_refused_in_the_words_of_python(self):
        @memlist([])
        def area(width, height):
            return {}

        with pytest.raises(TypeError, match=r"area\(\) missing 1 required positional argument: 'height'$"):
            area(1)
        with pytest.raises(TypeError, match=r"area\(\) got an unexpected keyword argument 'depth'$"):
            area(1, 2, depth=3)

    def test_two_of_one_name_are_an_error(self):
        @memlist([])
        def func(a, /, **more):
            return {}

        with pytest.raises(NameClash, match=r"^'a': two arguments of one call have the same name"):
            func(1, a=2)

    def test_functions_written_in_c_are_recorded_too(self):
        data = []
        memlist(data)(max)(1, 2)
        assert data == [{"args": [1, 2], "result": 2}]


class TestResults:
    @pytest.mark.parametrize("value", [3, None, [1], "text", {1: 2}, {"result": 1}])
    def test_what_is_no_dict_of_names_is_stored_under_result(self, value):
        data = []

        assert memlist(data)(lambda x: value)(1) is value

        expected = value["result"] if isinstance(value, dict) and "result" in value else value
        assert data == [{"x": 1, "result": expected}]

    def test_an_argument_and_a_result_of_the_same_name_are_an_error_that_holds_both(self):
        data = []

        @memlist(data)
        def train(lr, epochs):
            return {"lr": 0.5, "loss": 1.0}

        with pytest.raises(NameClash) as caught:
            train(0.1, 3)

        assert str(caught.value) == (
            "'lr': an argument, a result or a measure have the same name, and one would overwrite the other in the "
            "record; rename one of them"
        )
        assert caught.value.names == ("lr",)
        assert caught.value.arguments == {"lr": 0.1, "epochs": 3}
        assert caught.value.result == {"lr": 0.5, "loss": 1.0}
        assert data == []
        assert isinstance(caught.value, ValueError)
        assert pickle.loads(pickle.dumps(caught.value)).result == {"lr": 0.5, "loss": 1.0}

    def test_so_are_an_argument_called_result_and_a_result_called_time_taken(self):
        with pytest.raises(NameClash, match=r"^'result'"):
            memlist([])(lambda result: 3)(1)
        with pytest.raises(NameClash, match=r"^'time_taken'"):
            memlist([])(time_taken()(lambda: {"time_taken": 3}))()
        with pytest.raises(NameClash, match=r"^'time_taken'"):
            time_taken()(lambda: {"time_taken": 3})()

    def test_nothing_is_recorded_of_a_call_that_raises(self):
        data = []

        with pytest.raises(ZeroDivisionError):
            memlist(data)(lambda x: 1 / x)(0)

        assert data == []

    def test_the_result_of_the_caller_and_the_records_are_independent(self):
        first, second, seen = [], [], []

        @memlist(first)
        @memlist(second)
        @memfunc(seen.append)
        def func(x):
            return {"y": 1}

        func(1)["y"] = 2
        first[0]["y"] = 3
        seen[0]["y"] = 4

        assert second == [{"x": 1, "y": 1}]


def recorders(tmp_path):
    data, seen = [], []
    decorators = [memlist(data), memfunc(seen.append), memfile(tmp_path / "results.jsonl"), time_taken(rounding=5)]
    return decorators, lambda: (data, seen, read_memfile(tmp_path / "results.jsonl"))


class TestStacking:
    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
    def test_in_any_order_everything_is_recorded_and_the_function_returns_its_own_result(self, order, tmp_path):
        decorators, recorded = recorders(tmp_path)

        def func(x, y=2):
            return {"sum": x + y}

        decorated = func
        for index in order:
            decorated = decorators[index](decorated)

        assert decorated(1) == {"sum": 3}
        data, seen, lines = recorded()
        assert data == seen == lines
        assert [{**record, "time_taken": None} for record in data] == [{"x": 1, "y": 2, "sum": 3, "time_taken": None}]
        assert 0 <= data[0]["time_taken"] < 60

    def test_another_decorator_may_stand_between(self):
        inner, outer = [], []

        def doubling(func):
            @functools.wraps(func)
            def wrapper(*args, **kwargs):
                return {name: 2 * value for name, value in func(*args, **kwargs).items()}

            return wrapper

        @memlist(outer)
        @doubling
        @memlist(inner)
        def func(x):
            return {"y": x}

        assert func(2) == {"y": 4}
        assert inner == [{"x": 2, "y": 2}]
        assert outer == [{"x": 2, "y": 4}]

    def test_one_recorder_that_fails_does_not_keep_the_others_from_recording(self):
        data = []

        def refuse(record):
            raise LookupError("no more room")

        @memlist(data)
        @memfunc(refuse)
        def func(x):
            return {"y": x}

        with pytest.raises(LookupError, match="no more room"):
            func(1)
        assert data == [{"x": 1, "y": 1}]

    def test_the_function_keeps_its_name_its_documentation_and_its_signature(self):
        @time_taken()
        @memlist([])
        def func(x: int, y: str = "a") -> None:
            """Documented."""

        assert (func.__name__, func.__doc__) == ("func", "Documented.")
        assert str(inspect.signature(func)) == "(x: 'int', y: 'str' = 'a') -> 'None'"


class TestTime:
    def test_it_is_that_of_the_function_in_seconds_or_minutes_rounded(self):
        import time

        data = []
        memlist(data)(time_taken(rounding=3)(lambda: time.sleep(0.12)))()
        memlist(data)(time_taken(minutes=True, rounding=6)(lambda: time.sleep(0.12)))()

        assert 0.1 <= data[0]["time_taken"] < 60
        assert 0.1 / 60 <= data[1]["time_taken"] < 1
        assert data[0]["time_taken"] == round(data[0]["time_taken"], 3)

    def test_alone_it_is_added_to_the_dict_that_the_function_returns(self):
        assert time_taken()(lambda: {"a": 1})() == {"a": 1, "time_taken": 0.0}
        assert time_taken()(lambda: 3)() == 3

    def test_it_has_two_names(self):
        assert capture_time is time_taken


class TestAsync:
    def test_async_functions_are_awaited_timed_and_recorded(self, tmp_path):
        decorators, recorded = recorders(tmp_path)

        async def func(x):
            await asyncio.sleep(0.05)
            return {"y": x}

        for decorate in decorators:
            func = decorate(func)

        async def all_of_them():
            return await asyncio.gather(*(func(x) for x in range(3)))

        assert inspect.iscoroutinefunction(func)
        assert asyncio.run(all_of_them()) == [{"y": 0}, {"y": 1}, {"y": 2}]
        data, seen, lines = recorded()
        assert data == seen == lines
        assert sorted(record["x"] for record in data) == [0, 1, 2]
        assert all(0.04 < record["time_taken"] < 60 for record in data)

    def test_they_are_skipped_too(self):
        data, calls = [], []

        @memlist(data, skip=True)
        async def func(x):
            calls.append(x)
            return {"y": x}

        async def twice():
            return [await func(1), await func(x=1)]

        assert asyncio.run(twice()) == [{"y": 1}, {"y": 1}]
        assert calls == [1]


class Scaled:
    def __init__(self, factor):
        self.factor = factor


class TestMethods:
    def test_the_instance_is_not_recorded_but_tells_combinations_apart(self, tmp_path):
        data, calls = [], []

        def score(self, x):
            calls.append((self.factor, x))
            return {"score": self.factor * x}

        score.__qualname__ = "Scaled.score"
        Scaled.score = memfile(tmp_path / "scaled.jsonl", skip=True)(memlist(data)(score))
        two, three = Scaled(2), Scaled(3)

        assert [two.score(1), two.score(x=1), three.score(1), Scaled(2).score(1)] == [
            {"score": 2},
            {"score": 2},
            {"score": 3},
            {"score": 2},
        ]
        assert calls == [(2, 1), (3, 1)]
        assert read_memfile(tmp_path / "scaled.jsonl") == [{"x": 1, "score": 2}, {"x": 1, "score": 3}]
        assert data == [{"x": 1, "score": 2}, {"x": 1, "score": 2}, {"x": 1, "score": 3}, {"x": 1, "score": 2}]

    def test_async_functions_behind_wrappers_and_objects_are_recorded_when_they_are_awaited(self, tmp_path):
        data = []

        async def later(x):
            await asyncio.sleep(0)
            return 2 * x

        class Later:
            async def __call__(self, x):
                return 3 * x

        behind = functools.wraps(later)(lambda x: later(x))
        decorated = [
            memlist(data)(behind),
            memlist(data)(time_taken()(behind)),
            memlist(data)(Later()),
            memlist(data, skip=True)(Later()),
        ]

        async def main():
            return [await func(x) for x, func in enumerate(decorated, 1)]

        assert asyncio.run(main()) == [2, 4, 9, 12]
        assert [(record["x"], record["result"]) for record in data] == [(1, 2), (2, 4), (3, 9), (4, 12)]

    def test_a_wrapper_that_may_be_async_or_not_is_refused_where_what_it_returned_may_be_returned_again(self):
        async def later(x):
            return x

        func = memlist([], skip=True)(functools.wraps(later)(lambda x: later(x)))

        with pytest.raises(OptionError, match="later is no async function, but returned a coroutine, so that skip="):
            func(1)

    def test_async_static_and_class_methods_work_in_either_order(self):
        data = []

        class Tools:
            @memlist(data)
            async def later(self, x):
                return x

            @staticmethod
            @memlist(data)
            def inner(x):
                return x

            @memlist(data)
            @staticmethod
            def outer(x):
                return x

            @classmethod
            @memlist(data)
            def inner_class(cls, x):
                return cls.__name__

            @memlist(data)
            @classmethod
            def outer_class(cls, x):
                return cls.__name__

        asyncio.run(Tools().later(1))
        Tools.inner(2), Tools().outer(x=3), Tools.inner_class(4), Tools().outer_class(5)

        assert data == [
            {"x": 1, "result": 1},
            {"x": 2, "result": 2},
            {"x": 3, "result": 3},
            {"x": 4, "result": "Tools"},
            {"x": 5, "result": "Tools"},
        ]


def remembering(kind, tmp_path, data, seen):
    return {
        "memlist": lambda: memlist(data, skip=True),
        "memfunc": lambda: memfunc(seen.append, skip=True),
        "memfile": lambda: memfile(tmp_path / "skip.jsonl", skip=True),
    }[kind]()


class TestSkip:
    @pytest.mark.parametrize("kind", ["memlist", "memfunc", "memfile"])
    @pytest.mark.parametrize("value", [{"y": 1, "z": None}, 3, None, {}, {"result": 3}, [1, 2]])
    def test_a_combination_already_recorded_is_not_computed_but_returned(self, kind, value, tmp_path):
        data, seen, calls = [], [], []

        @remembering(kind, tmp_path, data, seen)
        @time_taken()
        def func(x, flag=False):
            calls.append(x)
            return value

        results = [func(1), func(1, False), func(flag=False, x=1), func(2)]

        assert results == [value] * 4
        assert calls == [1, 2]
        if value == {"y": 1, "z": None}:
            func(1)["y"] = "changed by the caller"
            assert func(1) == {"y": 1, "z": None}
        written = read_memfile(tmp_path / "skip.jsonl") if kind == "memfile" else []
        assert len(data + seen + written) == 2

    @pytest.mark.parametrize("kind", ["memlist", "memfunc", "memfile"])
    def test_arguments_are_equal_where_a_matrix_holds_them_to_be(self, kind, tmp_path):
        import numpy as np

        calls = []

        @remembering(kind, tmp_path, [], [])
        def func(x):
            calls.append(x)
            return len(calls)

        different = [1, 1.0, True, "1", (1,), [1], {"a": 1, "b": 2}, np.float64(1), np.arange(3), float("nan"), {1}]

        first = [func(x) for x in different]
        again = [func(copy.deepcopy(x)) for x in different]

        assert first == again == list(range(1, len(different) + 1))
        assert func({"b": 2, "a": 1}) == func({"a": 1, "b": 2})

    def test_what_a_list_held_before_and_was_given_since_counts(self):
        data = [{"x": 1, "y": 10}]
        func = memlist(data, skip=True)(lambda x: {"y": 0})

        assert func(1) == {"y": 10}
        data.append({"x": 2, "result": 20})
        assert func(2) == 20
        data.clear()
        assert func(1) == {"y": 0}
        data[:] = [{"x": 1, "y": 11}]
        assert func(1) == {"y": 11}

    def test_a_record_of_others_counts_only_where_its_arguments_can_be_told_from_its_results(self):
        data = [{"x": 1, "y": 2, "result": 3}]
        func = memlist(data, skip=True)(lambda x, **more: x + sum(more.values()))

        assert [func(1), func(1, y=2)] == [1, 3]
        assert len(data) == 3

    def test_nor_does_one_that_may_hold_an_argument_or_a_time_of_the_function_as_it_was(self):
        data = []
        memlist(data)(lambda x, y: x + y)(1, 5)
        memlist(data)(time_taken()(lambda x: 2 * x))(2)
        memlist(data)(time_taken()(lambda x: {"double": 2 * x}))(3)
        func = memlist(data, skip=True)(lambda x: {"double": 2 * x})

        assert [func(x) for x in (1, 2, 3)] == [{"double": 2}, {"double": 4}, {"double": 6}]
        assert len(data) == 6
        assert memlist(data[1:3], skip=True)(time_taken()(lambda x: 1 / 0))(2) == 4

    def test_a_list_that_is_sorted_or_shortened_keeps_what_is_known_of_the_records_left(self):
        data, calls = [], []

        @memlist(data, skip=True)
        def func(x, **more):
            calls.append(x)
            return {"result": (x, *more)}

        for x in (1, 2, 3):
            func(x, y=x)
        data.reverse()
        del data[0]

        assert [func(1, y=1), func(2, y=2)] == [{"result": (1, "y")}, {"result": (2, "y")}]
        assert calls == [1, 2, 3]
        assert func(1) == {"result": (1,)}
        assert func(3, y=3) == {"result": (3, "y")}
        assert calls == [1, 2, 3, 1, 3]

    @pytest.mark.parametrize("kind", ["memlist", "memfunc", "memfile"])
    def test_further_arguments_belong_to_the_combination(self, kind, tmp_path):
        func = remembering(kind, tmp_path, [], [])(lambda x, *rest, **more: {"got": (len(rest), sorted(more))})

        for _ in range(2):
            assert func(1) == {"got": (0, [])}
            assert func(1, 2) == {"got": (1, [])}
            assert func(1, a=1) == {"got": (0, ["a"])}
            assert func(1, b=1, a=1) == func(1, a=1, b=1) == {"got": (0, ["a", "b"])}

    @pytest.mark.parametrize("kind", ["memlist", "memfunc", "memfile"])
    def test_threads_that_make_the_same_call_at_once_compute_it_once(self, kind, tmp_path):
        calls = []

        @remembering(kind, tmp_path, [], [])
        def func(x):
            time.sleep(0.05)
            calls.append(x)
            return {"y": x}

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(func, [1, 1, 2, 1])) == [{"y": 1}, {"y": 1}, {"y": 2}, {"y": 1}]
        assert sorted(calls) == [1, 2]

    @pytest.mark.parametrize("kind", ["memlist", "memfunc", "memfile"])
    def test_so_do_tasks_and_one_that_is_cancelled_is_followed_by_another(self, kind, tmp_path):
        calls = []

        @remembering(kind, tmp_path, [], [])
        async def func(x):
            calls.append(x)
            await asyncio.sleep(0.01)
            return {"y": len(calls)}

        async def all_of_them():
            tasks = [asyncio.create_task(func(1)) for _ in range(5)]
            while not calls:
                await asyncio.sleep(0)
            tasks[0].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        first, *others = asyncio.run(all_of_them())
        assert isinstance(first, asyncio.CancelledError)
        assert others == [{"y": 2}] * 4
        assert calls == [1, 1]

    def test_a_task_that_asks_for_what_it_is_computing_computes_it(self):
        deep = []

        @memlist([], skip=True)
        async def func(x):
            deep.append(x)
            return {"y": 0 if len(deep) == 3 else 1 + (await func(x))["y"]}

        assert asyncio.run(asyncio.wait_for(func(1), 20)) == {"y": 2}

    def test_the_others_record_each_call_and_those_that_skip_each_combination(self, tmp_path):
        for order in itertools.permutations(range(3)):
            every, once, folder = [], [], tmp_path / str(order)
            decorators = [memlist(every), memlist(once, skip=True), memfile(folder / "a.jsonl", skip=True)]
            func = lambda x: {"y": 2 * x}  # noqa: E731
            for index in order:
                func = decorators[index](func)
            assert [func(1), func(1), func(2)] == [{"y": 2}, {"y": 2}, {"y": 4}]

            assert every == [{"x": 1, "y": 2}, {"x": 1, "y": 2}, {"x": 2, "y": 4}]
            assert once == read_memfile(folder / "a.jsonl") == [{"x": 1, "y": 2}, {"x": 2, "y": 4}]

    def test_an_argument_without_a_key_is_refused_before_the_function_runs(self):
        calls = []

        @memlist([], skip=True)
        def func(x):
            calls.append(x)

        with pytest.raises(UnkeyableValue, match=r"^x"):
            func(object())
        assert calls == []


class TestMisuse:
    def test_a_missing_pair_of_parentheses_is_noticed(self):
        with pytest.raises(OptionError, match=r"^write @time_taken\(\) with its parentheses$"):

            @time_taken
            def func(): ...

        with pytest.raises(OptionError, match="cannot be appended to; give a list"):

            @memlist
            def other(): ...

    def test_what_can_be_meant_by_nobody_is_refused(self):
        with pytest.raises(OptionError, match="callback=3 cannot be called"):
            memfunc(3)
        with pytest.raises(OptionError, match="filepath=3 is no path of a file"):
            memfile(3)
        with pytest.raises(OptionError, match="yields its results, of which none is the result to record"):

            @memlist([])
            def func():
                yield 1

    def test_a_recursive_function_with_defaults_survives_cloudpickle(self):
        namespace = {"memlist": memlist}
        exec(
            "@memlist([], skip=True)\n"
            "def down(n, step=1):\n"
            "    return {'steps': 0 if n <= 0 else 1 + down(n - step)['steps']}\n",
            namespace,
        )

        copied = cloudpickle.loads(cloudpickle.dumps(namespace["down"]))

        assert copied(3) == {"steps": 3}
