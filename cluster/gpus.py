"""What a worker may take of its GPUs: which cards Ray gave to it, and how much memory its share of one is.

Runs on the worker. Ray's fraction of a GPU is bookkeeping only: whoever computes there has to keep to its share. Must not know what is computed.
"""

import functools
import subprocess
from dataclasses import dataclass

from cluster.errors import ClusterError, one_line

# What CUDA itself holds of a card for each process, beside what the process allocates.
CONTEXT_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Grant:
    """The GPUs of one worker.

    Attributes:
        ids: as CUDA_VISIBLE_DEVICES takes them; empty: none.
        memory_bytes: the most that may be allocated on the card, where it is shared; None: all of each.
    """

    ids: tuple[str, ...] = ()
    memory_bytes: int | None = None


def granted() -> Grant:
    """Return what Ray gave to the worker that asks.

    Raises:
        ClusterError: it got a fraction of a card, and the card's size cannot be found out.
    """
    import ray

    ids = tuple(str(gpu) for gpu in ray.get_gpu_ids())
    share = float(ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)) if ids else 0.0
    if not 0 < share < 1:
        return Grant(ids)
    return Grant(ids, share_of(card_bytes(ids[0]), share))


def check_share(share: float) -> None:
    """Ask every node of the connected cluster that has GPUs whether such a share of one can be kept to, before anything runs there.

    Args:
        share: of a card; from 1 on there is nothing to be asked.

    Raises:
        ClusterError: a node cannot tell how large its cards are, or the share of one is too small.
    """
    if not 0 < share < 1:
        return
    import ray

    from cluster.targets import on_every_node

    names = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Resources"].get("GPU")}
    for node, answer in on_every_node(_refused, share, timeout_s=120.0).items():
        if node in names and answer is not None:
            raise ClusterError(answer if isinstance(answer, str) else f"resources.gpus: node {names[node]} does not answer ({one_line(answer)})")


def _refused(share: float) -> str | None:
    """Return why this node cannot give such a share of its first card, or None."""
    try:
        share_of(card_bytes("0"), share)
    except ClusterError as error:
        return str(error)
    return None


def share_of(card: int, share: float) -> int:
    """Return the bytes that may be allocated on a shared card.

    Args:
        card: bytes of the whole card.
        share: between 0 and 1.

    Raises:
        ClusterError: CUDA itself takes all of the share.
    """
    rest = int(card * share) - CONTEXT_BYTES
    if rest <= 0:
        whole, context = f"{card / 2**30:.3g} GiB", f"{CONTEXT_BYTES / 2**30:g} GiB"
        raise ClusterError(f"resources.gpus: {share:g} of a card of {whole} leaves nothing beside the {context} that CUDA takes; ask for more")
    return rest


@functools.cache
def card_bytes(identifier: str) -> int:
    """Return the memory of a card of this machine in bytes.

    Args:
        identifier: its number or its UUID.

    Raises:
        ClusterError: `nvidia-smi` does not say.
    """
    command = ["nvidia-smi", f"--id={identifier}", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        return int(float(said.split()[0])) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        why = one_line(error)
        raise ClusterError(f"resources.gpus: a share of GPU {identifier} needs the size of the card, and nvidia-smi does not tell it ({why})") from error
