"""The machines of a cluster in words."""

import getpass
import socket

from cluster.hardware import GIB, machine, words


def test_machine_is_told_by_processor_cores_memory_and_gpus() -> None:
    known = {"processor": "EPYC  7B12", "cores": 16, "memory_bytes": 62 * GIB, "gpus": ["NVIDIA H200", "NVIDIA H200"]}
    assert words(known) == "EPYC 7B12, 16 cores, 62 GiB memory, 2 × NVIDIA H200"
    assert words({"processor": "arm64", "cores": 1, "memory_bytes": None, "gpus": []}) == "arm64, 1 core, no GPU"


def test_this_machine_is_told_without_names_of_host_and_user() -> None:
    found = machine()
    assert found["processor"] and found["cores"] >= 1
    assert socket.gethostname() not in words(found).split()
    assert getpass.getuser() not in words(found).split()
