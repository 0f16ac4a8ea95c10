"""The cluster in containers is the native one: what its files name exists, and both say the same to Slurm.

Whether it starts shows only where Docker is (`make slurm-docker`); this is what can be known without.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "slurm-docker-cluster"
DOCKERFILE, COMPOSE = (CLUSTER / "Dockerfile").read_text(), (CLUSTER / "compose.yaml").read_text()
ROLE, UP = (CLUSTER / "role").read_text(), (CLUSTER / "native" / "up").read_text()


def test_what_the_image_is_made_of_exists_and_can_be_run() -> None:
    copied = [words for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) for words in line.split()[:-1]]
    made_of = ["etc/", "role", "register_cluster.sh"]
    assert copied == [*(f"slurm-docker-cluster/{name}" for name in made_of), "."]
    assert all((ROOT / place).exists() for place in copied)
    assert all(os.access(ROOT / place, os.X_OK) for place in copied[1:3])


def test_what_the_installation_in_the_image_needs_is_sent_to_it() -> None:
    sent = re.findall(r"^!(.*)$", (CLUSTER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert all(list(ROOT.glob(place)) for place in sent)
    assert {"memento", "tests", "pyproject.toml", "README.md", "LICENSE", "slurm-docker-cluster"} <= set(sent)


def test_the_image_has_every_package_of_the_native_cluster() -> None:
    wanted = {name for line in re.findall(r"wanted\+?=\(([^)]*)\)", UP) for name in line.split()}
    assert wanted >= {"munge", "slurmctld", "slurmd", "slurmdbd", "mariadb-server"}
    installed = set(re.sub(r"\\\n", " ", DOCKERFILE).split())
    assert wanted - installed == {"iproute2"}  # which `down` asks who listens; a container just ends


def test_every_service_is_a_role_and_every_host_that_slurm_knows_is_a_service() -> None:
    roles = set(re.findall(r"^(\w+)\)$", ROLE, re.MULTILINE))
    commands = re.findall(r"^    command: \[(\w+)\]$", COMPOSE, re.MULTILINE)
    hosts = re.findall(r"^    hostname: (\w+)$", COMPOSE, re.MULTILINE)
    assert set(commands) == roles == {"mariadb", "slurmdbd", "slurmctld", "slurmd"}
    assert hosts == ["mariadb", "slurmdbd", "slurmctld", "c1", "c2"]
    controller = settings((CLUSTER / "etc" / "slurm.conf").read_text())
    accounting = settings((CLUSTER / "etc" / "slurmdbd.conf").read_text())
    assert {controller["SlurmctldHost"], controller["AccountingStorageHost"]} <= set(hosts)
    assert {accounting["DbdHost"], accounting["StorageHost"]} <= set(hosts)
    assert controller["NodeName"].startswith("c[1-2] ")


def test_both_clusters_are_set_up_alike() -> None:
    for name, place in (("slurm.conf", "slurm_configuration"), ("slurmdbd.conf", "accounting_configuration")):
        contained = settings((CLUSTER / "etc" / name).read_text())
        native = settings(UP.split(f"\n{place}() {{\n")[1].split("\nEND\n")[0])
        same = {key for key, value in native.items() if "$" not in value and "127.0.0.1" not in value}
        same -= {"ClusterName", "MaxJobCount", "SlurmctldTimeout", "TCPTimeout", "MessageTimeout"}
        assert {key: contained.get(key) for key in same} == {key: native[key] for key in same}
        assert len(same) >= 7


def test_the_tests_in_containers_keep_their_stores_on_the_volume_that_all_nodes_see() -> None:
    volume = re.search(r"^    - data:(\S+)$", COMPOSE, re.MULTILINE)
    assert volume is not None
    commands = [(ROOT / "Makefile").read_text(), COMPOSE, (CLUSTER / "README.md").read_text()]
    assert all(f"--basetemp={volume[1]}/" in text for text in commands)


def settings(text: str) -> dict[str, str]:
    """Return what a configuration of Slurm's says, by name."""
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
