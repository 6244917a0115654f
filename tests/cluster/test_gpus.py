import os
import stat
from pathlib import Path

import pytest

from cluster import gpus
from cluster.errors import ClusterError


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up nvidia-smi, which says what the file `memory` beside it says."""
    script = tmp_path / "nvidia-smi"
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec cat {tmp_path}/memory\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    gpus.card_bytes.cache_clear()
    return tmp_path / "memory"


def test_share_of_a_card_is_its_part_less_what_cuda_takes() -> None:
    assert gpus.share_of(16 * 2**30, 0.5) == 8 * 2**30 - gpus.CONTEXT_BYTES
    with pytest.raises(ClusterError, match=r"0\.02 of a card of 16 GiB leaves nothing beside the 0\.5 GiB that CUDA takes"):
        gpus.share_of(16 * 2**30, 0.02)


def test_size_of_a_card_is_asked_for_by_its_id(card: Path) -> None:
    card.write_text("81559\n")
    assert gpus.card_bytes("GPU-17") == 81559 * 2**20
    assert "--id=GPU-17 --query-gpu=memory.total" in (card.parent / "asked").read_text()


@pytest.mark.parametrize("said", ["", "[N/A]\n"])
def test_card_whose_size_is_not_told_is_an_error(card: Path, said: str) -> None:
    card.write_text(said)
    with pytest.raises(ClusterError, match="a share of GPU 0 needs the size of the card, and nvidia-smi does not tell it"):
        gpus.card_bytes("0")
