"""The library broken on purpose: each a small change to its text, and the trial that has to fail on it.

A trial that fails on nothing proves nothing. `test_breakages.py` applies each to a copy, and runs the trial there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakage:
    """In `file` (below the project's root) `old` becomes `new`, upon which `trial` (below tests/faults) has to fail.

    `trial` is what pytest takes: a file, or ``file.py::test_name``; its short form is run. `old` occurs exactly once.
    """

    name: str
    file: str
    old: str
    new: str
    trial: str


BREAKAGES: list[Breakage] = [
    Breakage(
        name="a worker's death is swallowed",
        file="memento/executors/processes/executor.py",
        old="        if lost is not None:\n            self._reports.append(lost)\n",
        new="        if lost is not None:\n            pass\n",
        trial="test_ways_to_die.py::test_the_others_are_handed_back_and_the_report_says_what_happened[forkserver]",
    ),
    Breakage(
        name="no experiment is ever overdue",
        file="memento/executors/processes/handle.py",
        old="return timeout is not None and now - self.since >= timeout",
        new="return False",
        trial="test_ways_to_die.py::test_a_timeout_ends_what_resists_it",
    ),
    Breakage(
        name="what is overdue is not asked for first",
        file="memento/executors/processes/executor.py",
        old="self._collect_all(worker)  # it may have begun another one, and told nothing of that yet",
        new="pass",
        trial="test_ways_to_die.py::test_a_timeout_works_beside_each_of_them[forkserver]",
    ),
    Breakage(
        name="the line of a sudden death is forgotten",
        file="memento/executors/processes/handle.py",
        old='users_frames(self._text("trace")) or self._last_seen(task)',
        new='users_frames(self._text("trace"))',
        trial="test_ways_to_die.py::test_the_others_are_handed_back_and_the_report_says_what_happened",
    ),
    Breakage(
        name="results are stored without trying to read them",
        file="memento/worker.py",
        old="payload.encode_readable(value)",
        new="payload.encode(value)",
        trial="test_ways_to_die.py::test_the_others_are_handed_back_and_the_report_says_what_happened",
    ),
    Breakage(
        name="the checksum of an outcome is skipped",
        file="memento/store/entries.py",
        old=" and hashlib.sha256(row[5]).digest()[:CHECKSUM_BYTES] == row[6]",
        new="",
        trial="test_damage.py::test_damage_is_found_and_costs_the_damaged_entry_only[settled]",
    ),
    Breakage(
        name="the digest of a value in a file is skipped",
        file="memento/store/parts.py",
        old='if hashlib.file_digest(file, "sha256").digest()[:DIGEST_BYTES] != part.digest or ',
        new="if file.seek(0, 2) < 0 or ",
        trial="test_damage.py::test_damage_is_found_and_costs_the_damaged_entry_only[settled]",
    ),
    Breakage(
        name="the checksum of a spool's frame is skipped",
        file="memento/spool.py",
        old=" or zlib.crc32(body) != checksum",
        new="",
        trial="test_damage.py::test_damage_is_found_and_costs_the_damaged_entry_only[spooled]",
    ),
    Breakage(
        name="an older result stands in for a damaged one",
        file="memento/store/reading.py",
        old="if key in found and found[key].id < number:",
        new="if key in found and found[key].id < 0:",
        trial="test_damage.py::test_damage_is_found_and_costs_the_damaged_entry_only[settled]",
    ),
    Breakage(
        name="sets are digested in the order of their hashes",
        file="memento/hashing/encoding.py",
        old="group(tag, sorted(self.encode(value, (value,)) for value in values))",
        new="group(tag, [self.encode(value, (value,)) for value in values])",
        trial="test_keys.py::test_values_have_one_key_under_every_hash_seed_on_every_python",
    ),
    Breakage(
        name="a list and a tuple share a digest",
        file="memento/hashing/kinds.py",
        old='tuple: lambda encoder, value: encoder.sequence(b"tuple", value),',
        new='tuple: lambda encoder, value: encoder.sequence(b"list", value),',
        trial="test_keys.py::test_thirty_kinds_of_value",
    ),
    Breakage(
        name="helpers are not part of the code's fingerprint",
        file="memento/hashing/dependencies.py",
        old="                self._waiting.append(thing)\n",
        new="                self._waiting.extend([] if self._found else [thing])\n",
        trial="test_edits.py::test_edits_that_change_something_are_noticed",
    ),
    Breakage(
        name="docstrings are part of the code's fingerprint",
        file="memento/hashing/syntax.py",
        old="return isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)",
        new="return False",
        trial="test_edits.py::test_edits_that_change_nothing_are_not_noticed",
    ),
    Breakage(
        name="a secret is printed",
        file="memento/notifications/secret.py",
        old='        return "***"\n\n    def __copy__',
        new="        return repr(self._value)\n\n    def __copy__",
        trial="test_secrets.py",
    ),
    Breakage(
        name="a secret is pickled",
        file="memento/notifications/secret.py",
        old="return Secret, (None,)",
        new="return Secret, (self._value,)",
        trial="test_secrets.py",
    ),
    Breakage(
        name="what a mail server says is told as it is",
        file="memento/notifications/smtp.py",
        old="refused the login (code {error.smtp_code}); check username and password",
        new="refused the login: {error}",
        trial="test_secrets.py",
    ),
]
