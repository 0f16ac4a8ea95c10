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


POWER = "test_power_loss.py::test_power_is_cut_at_a_random_instant"
HANGING = "test_interrupts.py::test_experiments_that_never_end_are_interrupted"
BREAKAGES: list[Breakage] = [
    Breakage(
        name="transactions are not synced",
        file="memento/store/connection.py",
        old='        if not sync:\n            database.execute("PRAGMA synchronous = NORMAL")\n',
        new='        database.execute("PRAGMA synchronous = OFF")\n        sync = False\n',
        trial=POWER,
    ),
    Breakage(
        name="a large value is told of without having been synced",
        file="memento/store/writing.py",
        old="                        sync(path)\n",
        new="                        pass\n",
        trial=POWER,
    ),
    Breakage(
        name="the folder of a large value is not synced",
        file="memento/store/writing.py",
        old="                private_folder(folder)\n                sync_folder(folder)\n",
        new="                private_folder(folder)\n",
        trial=POWER,
    ),
    Breakage(
        name="a new folder is not synced in the one above",
        file="memento/files.py",
        old="        sync_folder(folder.parent)\n",
        new="        pass\n",
        trial=POWER,
    ),
    Breakage(
        name="a success is told before it is stored",
        file="memento/running/intake.py",
        old="        entries = self._keeper.commit(run)\n",
        new="        from memento.store import Entry\n"
        "        early = [Entry(0, head) for head, _ in self._keeper._pending]\n"
        "        self._tally.tell_successes(early, [self._rows[entry.key] for entry in early])\n"
        "        entries = self._keeper.commit(run)\n",
        trial=POWER,
    ),
    Breakage(
        name="a ledger cut off in the middle of a change is taken for somebody else's",
        file="memento/store/ledger_header.py",
        old="            if file.read(len(beginnings[0])) in beginnings:\n                return True\n",
        new="            file.read(1)\n",
        trial="test_power_loss.py::test_a_ledger_whose_beginning_was_being_written_is_mended_and_not_taken_for_anothers",
    ),
    Breakage(
        name="what a killed run left in its spools is not taken in",
        file="memento/store/runs.py",
        old="            if run_in(frame[0]) == run:\n",
        new="            if run_in(frame[0]) != run:\n",
        trial="test_killed.py::test_a_kill_at_a_random_instant",
    ),
    Breakage(
        name="the supervisor ends and leaves its descendants",
        file="memento/executors/processes/supervisor.py",
        old="        supervisor.end_all()\n",
        new="        pass\n",
        trial=HANGING,
    ),
    Breakage(
        name="experiments that hang are given half a minute after Ctrl-C",
        file="memento/running/session.py",
        old="\nGRACE = 3.5\n",
        new="\nGRACE = 30.0\n",
        trial=HANGING,
    ),
    Breakage(
        name="what is claimed is not written down",
        file="memento/store/sharing.py",
        old="            claims.change_claims(database, run.id, run.written, claimed)\n",
        new="",
        trial="test_runs_at_once.py::test_runs_at_once",
    ),
    Breakage(
        name="a living run holds no lock",
        file="memento/store/runs.py",
        old="        fcntl.flock(self._lock, fcntl.LOCK_EX)\n        _locked.add(self)\n",
        new="        _locked.add(self)\n",
        trial="test_runs_at_once.py::test_runs_at_once",
    ),
    Breakage(
        name="an outcome that could not be written counts as written",
        file="memento/spool.py",
        old="# a torn frame would hide every later one\n            raise\n",
        new="# a torn frame would hide every later one\n            return self._end\n",
        trial="test_disk.py::test_a_call_fails[what a worker writes into its spool]",
    ),
    Breakage(
        name="a large value that could not be written counts as written",
        file="memento/part_writer.py",
        old="write_atomically(path, chunks, synced=self._synced, lasting=False)\n        except OSError as error:\n",
        new="write_atomically(path, chunks, synced=self._synced, lasting=False)\n        except OSError as error:\n"
        "            return Part(codec, size, digest, None)\n",
        trial="test_disk.py::test_a_call_fails[what is done to large values]",
    ),
    Breakage(
        name="checkpoints belong to a run and not to a configuration",
        file="memento/context.py",
        old="checkpoints.write(checkpoint_path(self._root, self._key), encoded",
        new="checkpoints.write(checkpoint_path(self._root, self._key + self._run), encoded",
        trial="test_checkpoints.py",
    ),
    Breakage(
        name="a worker's death is swallowed",
        file="memento/executors/processes/executor.py",
        old="        if lost is not None:\n            self._reports.append(lost)\n",
        new="        if lost is not None:\n            pass\n",
        trial="test_ways_to_die.py::test_the_others_are_handed_back_and_the_report_says_what_happened",
    ),
    Breakage(
        name="no experiment is ever overdue",
        file="memento/executors/processes/worker_handle.py",
        old="return timeout is not None and now - self.since >= timeout",
        new="return False",
        trial="test_ways_to_die.py::test_a_timeout_ends_what_resists_it",
    ),
    Breakage(
        name="the line of a sudden death is forgotten",
        file="memento/executors/processes/worker_handle.py",
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
        file="memento/store/reading.py",
        old=" or crc32(head) != WHOLE",
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
        name="what stands behind damage in a spool is given up",
        file="memento/spool.py",
        old="position = _next_start(file, position + 1)",
        new="position = -1",
        trial="test_damage.py::test_damage_is_found_and_costs_the_damaged_entry_only[spooled]",
    ),
    Breakage(
        name="an older result stands in for a damaged one",
        file="memento/store/reading.py",
        # Older successes are marked, and a damaged row hides them too: either keeps the promise without the other.
        old=(
            "if mark or type(head) is not bytes or crc32(head) != WHOLE or number in known_damaged:\n"
            "                if mark == REPLACED:\n"
        ),
        new=(
            "if mark == DAMAGED or type(head) is not bytes or crc32(head) != WHOLE or number in known_damaged:\n"
            "                if True:\n"
        ),
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
        file="memento/fingerprint/dependencies.py",
        old="                self._waiting.append(thing)\n",
        new="                self._waiting.extend([] if self._watched.digests else [thing])\n",
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
