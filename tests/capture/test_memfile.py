"""Lines of a file are whole whoever writes and whoever dies, and found again without reading the file anew."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memento import memfile, read_memfile, time_taken

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from memento import memfile

@memfile("results.jsonl", skip={skip})
def func(writer, number, text=None):
    return {{"length": len(text)}}

writer, count = int(sys.argv[1]), int(sys.argv[2])
for number in range(count):
    func(writer, number, "x" * (200_000 if number % 50 == 0 else number))
"""


def start(folder, code, *arguments):
    script = folder / "writer.py"
    if not script.exists() or script.read_text() != code:  # one started before may just be reading it
        script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, script.name, *map(str, arguments)], cwd=folder, env=environment)


def test_lines_are_whole_with_many_processes_and_threads_writing(tmp_path):
    path = tmp_path / "results.jsonl"
    writers = [start(tmp_path, WRITER.format(skip=False), number, 300) for number in range(4)]

    @memfile(path)
    def func(writer, number, text):
        return {"length": len(text)}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: func(9, n, "y" * (150_000 if n % 40 == 0 else 10)), range(400)))
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]

    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == 4 * 300 + 400
    assert all(record["length"] == len(record["text"]) for record in records)
    for writer in range(4):
        assert [record["number"] for record in records if record["writer"] == writer] == list(range(300))


def test_writers_that_are_killed_leave_whole_lines(tmp_path):
    path = tmp_path / "results.jsonl"
    for round_ in range(6):
        writer = start(tmp_path, WRITER.format(skip=False), round_, 10**9)
        before = path.stat().st_size if path.exists() else 0
        while not path.exists() or path.stat().st_size < before + 1_000_000:
            assert writer.poll() is None
            time.sleep(0.005)
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)

    memfile(path)(lambda writer, number, text: {"length": 1})(9, 0, "z")

    assert path.read_bytes().endswith(b"\n")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[-1] == {"writer": 9, "number": 0, "text": "z", "length": 1}
    assert {record["writer"] for record in records} == {0, 1, 2, 3, 4, 5, 9}


class TestTornLine:
    def test_a_torn_last_line_moves_aside_before_the_next_one(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1,"y":2}\n{"x":2,"y')
        func = memfile(path, skip=True)(lambda x: {"y": 2 * x})

        assert [func(1), func(2)] == [{"y": 2}, {"y": 4}]

        assert path.read_text() == '{"x":1,"y":2}\n{"x":2,\t"y":4}\n'
        assert (tmp_path / "results.jsonl.torn").read_text() == '{"x":2,"y\n'

    def test_one_that_another_process_tears_while_this_one_writes_does_too(self, tmp_path):
        path = tmp_path / "results.jsonl"
        func = memfile(path)(lambda x: {"y": 2 * x})
        func(1)
        with open(path, "ab") as other:
            other.write(b'{"x":9')
        func(2)

        assert path.read_text() == '{"x":1,\t"y":2}\n{"x":2,\t"y":4}\n'

    def test_a_line_that_lacks_only_its_newline_gets_it(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1,"y":2}')
        memfile(path)(lambda x: {"y": 2 * x})(2)

        assert path.read_text() == '{"x":1,"y":2}\n{"x":2,\t"y":4}\n'

    @pytest.mark.parametrize("length", [10, 70_000, 200_000])
    def test_however_long_it_is(self, length, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1}\n"' + length * "a")
        memfile(path)(lambda x: {})(2)

        assert path.read_text() == '{"x":1}\n{"x":2\t}\n'

    def test_it_is_left_out_when_the_file_is_read(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1}\n{"x"')

        assert read_memfile(path) == [{"x": 1}]


def test_a_full_disk_leaves_whole_lines_and_the_error_tells_the_record(tmp_path, monkeypatch):
    from memento.capture import append_only

    path = tmp_path / "results.jsonl"
    func = memfile(path)(lambda x: {"y": x})
    func(1)
    monkeypatch.setattr(append_only, "write", lambda descriptor, data: os.write(descriptor, data[:5]))
    with pytest.raises(OSError, match="No space left on device") as caught:
        func(2)
    monkeypatch.undo()
    assert path.read_text() == '{"x":1,\t"y":1}\n'
    func(3)

    assert caught.value.__notes__ == ['not recorded: {"x":2,\t"y":2}']
    assert path.read_text() == '{"x":1,\t"y":1}\n{"x":3,\t"y":3}\n'


def test_where_the_file_system_has_no_locks_each_line_is_appended_all_the_same(tmp_path, monkeypatch):
    from memento.capture import append_only

    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(append_only, "flock", no_locks)
    func = memfile(tmp_path / "results.jsonl")(lambda x: {"y": x})
    func(1)
    func(2)

    assert (tmp_path / "results.jsonl").read_text() == '{"x":1,\t"y":1}\n{"x":2,\t"y":2}\n'


def test_arguments_are_written_as_they_were_when_the_function_was_called(tmp_path):
    func = memfile(tmp_path / "results.jsonl")(lambda items: {"popped": items.pop()})
    func([1, 2])

    assert read_memfile(tmp_path / "results.jsonl") == [{"items": [1, 2], "popped": 2}]


def test_a_file_that_is_deleted_or_moved_is_made_again(tmp_path):
    path = tmp_path / "new" / "folder" / "results.jsonl"
    func = memfile(path, skip=True)(lambda x: {})
    func(1)
    path.unlink()
    func(1)
    path.rename(tmp_path / "old.jsonl")
    time.sleep(0.06)
    func(2)

    assert read_memfile(tmp_path / "old.jsonl") == [{"x": 1}]
    assert read_memfile(path) == [{"x": 2}]


def test_a_file_that_is_emptied_and_written_anew_gives_nothing_of_what_was_in_it(tmp_path):
    path = tmp_path / "results.jsonl"
    func = memfile(path, skip=True)(lambda x: {"y": 10 * x})
    assert [func(1), func(2)] == [{"y": 10}, {"y": 20}]
    path.write_text('{"x":5,"y":77}\n')

    assert [func(1), func(5)] == [{"y": 10}, {"y": 77}]


def tenfold(x):
    return {"y": 10 * x}


class TestEditedWhileWeLive:
    def test_lines_that_are_sorted_answer_for_their_own_arguments(self, tmp_path):
        path = tmp_path / "results.jsonl"
        func = memfile(path, skip=True)(tenfold)
        for x in (3, 1, 2):
            func(x)
        path.write_text('{"x":1,"y":11}\n{"x":2,"y":22}\n{"x":3,"y":33}\n')  # into the same file, of the same size

        assert [func(1), func(2), func(3)] == [{"y": 11}, {"y": 22}, {"y": 33}]

    def test_lines_behind_one_that_was_taken_out_do_too_and_what_was_added_is_seen(self, tmp_path):
        path = tmp_path / "results.jsonl"
        func = memfile(path, skip=True)(tenfold)
        for x in (1, 2, 3):
            func(x)
        path.write_text('{"x":2,"y":22}\n{"x":3,"y":33}\n{"x":4,"y":44}\n{"x":5,"y":55}\n')

        assert [func(4), func(5), func(2), func(3)] == [{"y": 44}, {"y": 55}, {"y": 22}, {"y": 33}]
        assert func(1) == {"y": 10}
        assert len(read_memfile(path)) == 5

    def test_a_last_line_that_lacks_only_its_newline_answers_and_is_not_doubled(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1,"y":11}\n{"x":2,"y":22}')
        func = memfile(path, skip=True)(tenfold)

        assert [func(2), func(3), func(2), func(3)] == [{"y": 22}, {"y": 30}, {"y": 22}, {"y": 30}]
        assert read_memfile(path) == [{"x": 1, "y": 11}, {"x": 2, "y": 22}, {"x": 3, "y": 30}]

    def test_one_that_lacks_more_is_no_answer(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1,"y":11}\n{"x":2,"y":22')
        func = memfile(path, skip=True)(tenfold)

        assert [func(1), func(2)] == [{"y": 11}, {"y": 20}]


def test_a_file_that_cannot_be_made_again_says_why_and_is_made_as_soon_as_it_can(tmp_path):
    folder = tmp_path / "folder"
    func = memfile(folder / "results.jsonl")(lambda x: {"y": x})
    func(1)
    shutil.rmtree(folder)
    folder.write_text("a file")
    for x in (2, 3):
        with pytest.raises(FileExistsError, match=f"File exists: '{folder}'"):
            func(x)
    folder.unlink()

    func(4)
    assert read_memfile(folder / "results.jsonl") == [{"x": 4, "y": 4}]


def test_a_forked_child_takes_locks_of_its_own(tmp_path):
    path = tmp_path / "results.jsonl"
    func = memfile(path)(lambda process, text: {})
    func(0, "first")
    child = os.fork()
    for _ in range(200):
        func(1 if child == 0 else 2, "t" * 20_000)
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(records) == 401


class TestSkip:
    def test_lines_of_an_earlier_process_count(self, tmp_path):
        code = WRITER.format(skip=True)
        for _ in range(2):
            assert start(tmp_path, code, 1, 60).wait(60) == 0

        assert len(read_memfile(tmp_path / "results.jsonl")) == 60

    def test_a_line_that_is_half_written_counts_once_it_is_whole(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1,"y":1}\n{"x":2,"y"')
        func = memfile(path, skip=True)(lambda x: 1 / 0)
        assert func(1) == {"y": 1}
        with open(path, "a") as file:
            file.write(":10}\n")

        assert func(2) == {"y": 10}

    def test_lines_that_another_process_adds_meanwhile_are_seen(self, tmp_path):
        calls = []

        @memfile(tmp_path / "results.jsonl", skip=True)
        def func(writer, number, text=None):
            calls.append(number)
            return {"length": 0}

        func(5, 0)
        assert start(tmp_path, WRITER.format(skip=False), 1, 10).wait(60) == 0

        assert func(1, 9, "x" * 9) == {"length": 9}
        assert func(1, 10, "x" * 10) == {"length": 0}
        assert calls == [0, 10]

    def test_only_what_is_new_is_read_at_each_call(self, tmp_path, monkeypatch):
        import memento.capture.files as files

        path = tmp_path / "results.jsonl"
        path.write_text("".join(f'{{"x":{x},"y":{x}}}\n' for x in range(1000)))
        read = []
        original = files.new_lines

        def counting(*arguments, **options):
            for line in original(*arguments, **options):
                read.append(line)
                yield line

        monkeypatch.setattr(files, "new_lines", counting)
        func = memfile(path, skip=True)(lambda x: {"y": -1})

        assert [func(x) for x in range(1000)] == [{"y": x} for x in range(1000)]
        assert len(read) == 1000
        func(1000)
        func(1001)
        assert len(read) <= 1002

    def test_lines_written_by_other_programs_count_and_others_are_passed_over(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"y": 10, "x": 1}\n[1]\nnonsense\n{"z": 1}\n\n{"x": 2, "result": 7}\n')
        func = memfile(path, skip=True)(lambda x: 0)

        assert [func(1), func(2), func(3)] == [{"y": 10}, 7, 0]

    def test_a_result_of_which_only_the_text_was_kept_is_computed_again(self, tmp_path):
        calls = []

        @memfile(tmp_path / "results.jsonl", skip=True)
        def func(x):
            calls.append(x)
            return {"model": threading.Thread}

        assert func(1) == func(1) == {"model": threading.Thread}
        assert calls == [1, 1]

    def test_arguments_are_told_apart_by_exact_keys_across_restarts(self, tmp_path):
        import numpy as np

        path = tmp_path / "results.jsonl"
        arguments = [
            (1, 2),
            [1, 2],
            np.float32(0.1),
            0.1,
            float("nan"),
            None,
            {"a": {1}},
            "1",
            1,
            1.0,
            True,
            np.int64(1),
        ]
        first = memfile(path, skip=True)(lambda x: {"kind": f"{type(x).__name__}"})
        for argument in arguments:
            first(argument)

        again = memfile(path, skip=True)(lambda x: {"kind": "computed again"})

        assert [again(argument)["kind"] for argument in arguments] == [type(x).__name__ for x in arguments]
        assert again(np.int32(1)) == {"kind": "computed again"}

    def test_further_keyword_arguments_belong_to_the_combination(self, tmp_path):
        path = tmp_path / "results.jsonl"
        for _ in range(2):
            func = memfile(path, skip=True)(lambda x, **more: {"more": sorted(more)})
            assert func(1) == {"more": []}
            assert func(1, a=1) == {"more": ["a"]}
            assert func(1, b=1, a=1) == func(1, a=1, b=1) == {"more": ["a", "b"]}
        assert len(read_memfile(path)) == 3

    def test_a_line_answers_for_the_arguments_as_they_were_before_the_function_changed_them(self, tmp_path):
        import numpy as np

        path, calls = tmp_path / "results.jsonl", []

        def train(weights):
            calls.append(weights.tolist())
            before = float(weights.sum())
            weights *= 2
            return {"before": before}

        memfile(path)(train)(np.array([1.0, 2.0]))
        again = memfile(path, skip=True)(train)

        assert again(np.array([2.0, 4.0])) == {"before": 6.0}
        assert again(np.array([1.0, 2.0])) == {"before": 3.0}
        assert calls == [[1.0, 2.0], [2.0, 4.0]]

    def test_and_for_the_instance_as_it_was(self, tmp_path):
        path = tmp_path / "results.jsonl"

        class Counter:
            def __init__(self, count):
                self.count = count

            def step(self, x):
                self.count += 1
                return {"value": self.count * x}

        step = Counter.step
        step.__qualname__ = "Counter.step"
        again = memfile(path, skip=True)(step)

        assert memfile(path)(step)(Counter(0), 10) == {"value": 10}
        assert again(Counter(1), 10) == {"value": 20}
        assert again(Counter(0), 10) == {"value": 10}
        assert len(read_memfile(path)) == 2


class TestSkipAfterTheFunctionHasChanged:
    def test_a_line_is_no_answer_for_fewer_arguments_than_it_was_written_for(self, tmp_path):
        path = tmp_path / "results.jsonl"
        memfile(path)(lambda x, y: {"loss": x + y})(1, 0)
        memfile(path)(lambda x, y: x + y)(1, 0)

        assert memfile(path, skip=True)(lambda x: {"loss": x})(1) == {"loss": 1}
        assert memfile(path, skip=True)(lambda y: {"loss": y})(0) == {"loss": 0}
        assert memfile(path, skip=True)(lambda: {"loss": 7})() == {"loss": 7}

    def test_nor_is_what_it_returned_taken_for_an_argument(self, tmp_path):
        path = tmp_path / "results.jsonl"
        memfile(path)(lambda x: {"y": 0})(1)

        assert memfile(path, skip=True)(lambda x, y: {"loss": 5})(1, 0) == {"loss": 5}

    def test_a_time_that_was_measured_then_is_not_part_of_the_result(self, tmp_path):
        path = tmp_path / "results.jsonl"
        for func in (lambda x: {"loss": x}, lambda y: y):
            memfile(path)(time_taken()(func))(3)

        assert memfile(path, skip=True)(lambda x: 1 / 0)(3) == {"loss": 3}
        assert memfile(path, skip=True)(lambda y: 1 / 0)(3) == 3

    def test_a_time_that_the_function_returned_is(self, tmp_path):
        path = tmp_path / "results.jsonl"
        memfile(path)(lambda x: {"time_taken": x})(3)

        assert memfile(path, skip=True)(lambda x: 1 / 0)(3) == {"time_taken": 3}

    @pytest.mark.parametrize(
        "line",
        [
            '{"x":3,"result":9,"time_taken":0.5}',
            '{"x":3,"loss":9,"time_taken":0.5}',
            '{"x":3,"y":9,"result":9}',
        ],
    )
    def test_a_line_without_tabs_is_no_answer_where_it_may_hold_more_than_the_result(self, line, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text(line + "\n")

        assert memfile(path, skip=True)(lambda x: {"loss": -1})(3) == {"loss": -1}

    def test_a_line_without_tabs_answers_else(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{"x":1,"loss":9,"acc":0}\n{"x":2,"result":7}\n{"x":3,"loss":1,"time_taken":0.5}\n')

        func = memfile(path, skip=True)(time_taken()(lambda x: 1 / 0))

        assert [func(1), func(2), func(3)] == [{"loss": 9, "acc": 0}, 7, {"loss": 1}]

    def test_tabs_of_other_programs_part_nothing(self, tmp_path):
        path = tmp_path / "results.jsonl"
        path.write_text('{\t"x":\t1,\t"loss":\t9}\n{"x":2,\t"loss":{\t"train":9}}\n')

        func = memfile(path, skip=True)(lambda x: 1 / 0)

        assert [func(1), func(2)] == [{"loss": 9}, {"loss": {"train": 9}}]


CLAIMANT = """
import sys
from memento import memfile
from memento.capture.claims import Claims

def telling(claims, key, take=Claims.take):
    taken = take(claims, key)
    if not taken:
        print("waiting", flush=True)
    return taken

Claims.take = telling

@memfile("results.jsonl", skip=True)
def func(x):
    print("computing", flush=True)
    sys.stdin.readline()
    return {"by": sys.argv[1]}

print(func(1)["by"])
"""


def claimant(folder, name):
    (folder / "claimant.py").write_text(CLAIMANT)
    return subprocess.Popen(
        [sys.executable, "claimant.py", name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestSkipAmongProcesses:
    def test_one_waits_for_another_that_computes_the_same_and_goes_on_with_something_else(self, tmp_path):
        first = claimant(tmp_path, "first")
        assert first.stdout.readline() == "computing\n"
        second = claimant(tmp_path, "second")
        assert second.stdout.readline() == "waiting\n"
        here = memfile(tmp_path / "results.jsonl", skip=True)(lambda x: {"by": "here"})

        assert here(2) == {"by": "here"}
        assert first.communicate("\n", timeout=30)[0] == "first\n"
        assert set(second.communicate(timeout=30)[0].split()) <= {"waiting", "first"}
        assert here(1) == {"by": "first"}
        assert len(read_memfile(tmp_path / "results.jsonl")) == 2

    def test_one_that_is_killed_is_waited_for_no_more(self, tmp_path):
        first = claimant(tmp_path, "first")
        assert first.stdout.readline() == "computing\n"
        second = claimant(tmp_path, "second")
        assert second.stdout.readline() == "waiting\n"
        first.kill()
        first.communicate(timeout=30)

        assert second.communicate("\n", timeout=30)[0].split()[-2:] == ["computing", "second"]

    def test_one_whose_computation_failed_is_waited_for_no_more(self, tmp_path):
        here = memfile(tmp_path / "results.jsonl", skip=True)(lambda x: {"by": 1 / 0})
        with pytest.raises(ZeroDivisionError):
            here(1)

        other = claimant(tmp_path, "other")
        assert other.stdout.readline() == "computing\n"
        assert other.communicate("\n", timeout=30)[0] == "other\n"

    def test_after_a_while_it_is_said_once_what_is_waited_for(self, tmp_path, monkeypatch, caplog):
        import memento.capture.claims as claims

        monkeypatch.setattr(claims, "SAID_AFTER", 0.0)
        here = memfile(tmp_path / "results.jsonl", skip=True)(lambda x: {"by": "here"})
        other = claimant(tmp_path, "other")
        assert other.stdout.readline() == "computing\n"
        looks, take = [], claims.Claims.take

        def counting(self, key):
            looks.append(key)
            if len(looks) == 3:
                other.communicate("\n", timeout=30)
            return take(self, key)

        monkeypatch.setattr(claims.Claims, "take", counting)

        assert here(1) == {"by": "other"}
        assert caplog.messages == [
            "memfile: waiting for a result that another process computes; it holds a lock on "
            f"{tmp_path / 'results.jsonl.lock'}"
        ]

    def test_where_there_can_be_no_lock_file_each_computes_for_itself(self, tmp_path):
        (tmp_path / "results.jsonl.lock").mkdir()
        func = memfile(tmp_path / "results.jsonl", skip=True)(lambda x: {"y": x})

        assert [func(1), func(1)] == [{"y": 1}, {"y": 1}]

    def test_a_lock_file_that_is_deleted_is_made_again(self, tmp_path):
        lock = tmp_path / "results.jsonl.lock"
        func = memfile(tmp_path / "results.jsonl", skip=True)(lambda x: {"y": x})
        func(1)
        lock.unlink()
        func(2)

        assert lock.read_bytes() == b""
