"""The parts that need no server: texts of values, the commit, the journal."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from memento import generate_configurations
from memento.hashing import readable
from memento.tracking.commit import commit_of
from memento.tracking.journal import Journal, journals_in, locked
from memento.tracking.texts import described_texts, is_shortened, may_be_shortened, whole_text


def test_texts_and_plain_collections_are_told_up_to_six_thousand_characters():
    assert whole_text("é" * 7000) == "é" * 6001
    assert whole_text(list(range(100))) == str(list(range(100)))
    assert whole_text({"layers": [64] * 60}) == str({"layers": [64] * 60})
    assert whole_text(list(range(100_000))) == readable(list(range(100_000)))
    assert whole_text([object] * 60) == readable([object] * 60)
    nested: list[object] = []
    nested.append(nested)
    assert whole_text(nested).startswith("[[")


@pytest.mark.parametrize("value", [1, 0.5, None, "adam", "x" * 100, [1, 2], np.zeros(1000), int, "\n" * 20])
def test_a_value_that_the_ledger_keeps_whole_is_left_to_it(value):
    assert not is_shortened(value)
    assert not may_be_shortened(generate_configurations({"parameters": {"value": [value]}}))


@pytest.mark.parametrize("value", ["x" * 118, "\0" * 30, [64] * 50, {"a": "b" * 200}])
def test_a_value_that_the_ledger_shortens_is_noticed_wherever_it_stands(value):
    assert is_shortened(value)
    assert may_be_shortened(generate_configurations({"parameters": {"value": [1, value]}}))
    assert may_be_shortened(generate_configurations({"parameters": {"a": [1]}, "settings": {"value": value}}))
    assert may_be_shortened(generate_configurations({"parameters": {("a", "b"): [(1, value)]}}))


def test_texts_are_told_without_quotes_and_a_setting_does_not_hide_a_parameter():
    assert described_texts('{"lr": "0.1", "model": "\'svm\'", "data": "\'aa…", "lr": "3"}', {"data": "aaaa"}) == {
        "lr": "0.1",
        "model": "svm",
        "data": "aaaa",
        "settings.lr": "3",
    }


def git(*command, folder):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_what_git_says_in_a_repository_a_worktree_packed_and_detached(tmp_path):
    repository = tmp_path / "repository"
    (repository / "deep" / "down").mkdir(parents=True)
    assert commit_of(repository) == ""
    git("init", folder=repository)
    assert commit_of(repository) == ""
    git("commit", "--allow-empty", "--message=first", folder=repository)
    first = git("rev-parse", "HEAD", folder=repository)
    assert commit_of(repository / "deep" / "down") == first
    git("pack-refs", "--all", folder=repository)
    assert commit_of(repository) == first
    git("worktree", "add", str(tmp_path / "other"), folder=repository)
    git("commit", "--allow-empty", "--message=second", folder=tmp_path / "other")
    assert commit_of(tmp_path / "other") == git("rev-parse", "HEAD", folder=tmp_path / "other") != first
    git("checkout", "--detach", folder=repository)
    assert commit_of(repository) == first
    (repository / ".git" / "HEAD").write_text("")
    assert commit_of(repository) == ""


def test_a_torn_line_of_a_journal_counts_as_not_written_and_hides_no_other(tmp_path):
    journal = Journal.begin(tmp_path, "00" * 8, 0, {"run": "00" * 8})
    with journal.path.open("ab") as file:
        file.write(b'{"sent": [1, 2')
    journal.append({"done": 3})

    assert list(journal.read()) == [{"run": "00" * 8}, {"done": 3}]
    assert list(journal.read()) == []


def test_one_at_a_time_delivers_a_journal_and_none_that_is_gone(tmp_path):
    journal = Journal.begin(tmp_path, "ab" * 8, 1, {})
    (tmp_path / "tracking" / "notes.txt").write_text("somebody's")

    assert journals_in(tmp_path) == [journal.path]
    with locked(journal.path) as mine, locked(journal.path) as theirs:
        assert (mine, theirs) == (True, False)
        journal.remove()
    with locked(journal.path) as free:
        assert not free
    assert journals_in(tmp_path) == []
