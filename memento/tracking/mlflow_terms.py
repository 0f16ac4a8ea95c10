"""What is said to MLflow in its terms: tags, statuses, addresses, and which of its errors are final."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from memento.task import Status
from memento.tracking.base import TrackedConfiguration, TrackedRun

RUN_STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
CONFIGURATION_STATUS = {Status.SUCCEEDED: "FINISHED", Status.FAILED: "FAILED"}  # all others were killed
REFUSED = (400, 413, 422)  # HTTP's for what will not be taken the next time either
FILES_REFUSED = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS)


def tags_of_run(run: TrackedRun, key: str) -> dict[str, str]:
    """Return the tags that a matrix's run and a configuration's have in common."""
    return {
        "memento.run": run.run,
        "memento.key": key,
        "memento.experiment": run.experiment,
        "memento.code": run.code,
        "mlflow.source.git.commit": run.commit,
        "mlflow.source.name": run.script,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": run.user,
    }


def tags_of_configuration(parent: str, run: TrackedRun, configuration: TrackedConfiguration) -> dict[str, str]:
    """Return the tags of a configuration's run below `parent`."""
    outcome = configuration.outcome
    failure = outcome.failure
    return {
        **tags_of_run(run, configuration.key),
        "mlflow.parentRunId": parent,
        "memento.status": outcome.status.value,
        "memento.attempt": str(outcome.attempt),
        "memento.replicate": configuration.replicate or "",
        "memento.host": outcome.host,
        "memento.runtime": f"{outcome.runtime:.6f}",
        "memento.cpu_time": f"{outcome.cpu_time:.6f}",
        "memento.memory": str(outcome.hardware_peak),
        "memento.error": failure.title if failure else "",
    }


def is_refusal(error: Exception) -> bool:
    """Whether MLflow will never take what it did not take, so that trying again is of no use."""
    if isinstance(error, UnicodeError):  # a file's name that is no text stays one
        return True
    status = getattr(error, "get_http_status_code", None)
    if isinstance(error, OSError) and error.errno in FILES_REFUSED:  # of artifacts; a network's errors have others
        return True
    return isinstance(error, PermissionError) or (callable(status) and status() in REFUSED)


def absolute(uri: str) -> str:
    """Return `uri` so that it means the same in every folder."""
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        path, mark, query = uri.removeprefix("sqlite:///").partition("?")
        return f"sqlite:///{Path(path).absolute()}{mark}{query}" if path not in ("", ":memory:") else uri
    if re.match(r"[a-zA-Z][\w+.-]*:", uri) or uri == "databricks":
        return uri
    return str(Path(uri).absolute())


def without_secret(uri: str) -> str:
    """Return `uri`, or a text with addresses in it, without users and passwords."""
    return re.sub(r"//[^/@\s]*@", "//***@", uri)
