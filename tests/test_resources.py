import pytest

from cluster.errors import ClusterError
from cluster.resources import Capacity, Node, Resources, ResourcesSection

LAPTOP = Capacity((Node("laptop", cpus=8, gpus=0, memory_bytes=16 * 2**30),))
BOX = Capacity((Node("box", cpus=32, gpus=4),))


def test_trial_gets_one_cpu_where_there_is_no_gpu() -> None:
    assert ResourcesSection().resolve(LAPTOP) == Resources(cpus=1, gpus=0)
    assert LAPTOP.fits(Resources()) == 8


def test_every_gpu_is_used_without_a_word_in_the_spec() -> None:
    resources = ResourcesSection().resolve(BOX)
    assert resources == Resources(cpus=8, gpus=1)
    assert BOX.fits(resources) == 4


def test_fractions_of_a_gpu_do_not_cross_cards() -> None:
    assert BOX.fits(Resources(cpus=1, gpus=0.4)) == 8  # two on each of four cards, not ten on four


def test_memory_and_custom_resources_limit_too() -> None:
    assert LAPTOP.fits(Resources(memory_bytes=5 * 2**30)) == 3
    node = Node("n", 8, 0, custom=(("disk", 2.0),))
    assert Capacity((node,)).fits(Resources(custom=(("disk", 1.0),))) == 2


def test_nothing_that_fits_is_an_error_that_names_what_each_node_has() -> None:
    with pytest.raises(ClusterError, match=r"asks for 1 CPU, 2 GPU, and no node has that much \(laptop: 8 CPU, 0 GPU, 16 GiB\)"):
        LAPTOP.fits(Resources(gpus=2))


@pytest.mark.parametrize("values", [{"cpus": 0.5}, {"cpus": 1.5}, {"gpus": 1.5}, {"gpus": -1}, {"custom": (("disk", 0.0),)}])
def test_impossible_requests_are_refused(values: dict) -> None:
    with pytest.raises(ClusterError, match=r"resources\."):
        Resources(**values)


def test_request_in_rays_words_leaves_out_what_is_not_asked_for() -> None:
    assert Resources(cpus=2).bundle() == {"CPU": 2}
    assert Resources(cpus=2, gpus=0.5, memory_bytes=100).bundle() == {"CPU": 2, "GPU": 0.5, "memory": 100.0}
