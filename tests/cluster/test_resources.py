import pytest

from cluster.errors import ClusterError
from cluster.resources import Allotment, Capacity, Node, Resources, ResourcesSection

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


MIXED = Capacity(
    (
        Node("big", cpus=32, gpus=4, labels=(("ray.io/accelerator-type", "H100"),)),
        Node("small", cpus=8, gpus=2, labels=(("ray.io/accelerator-type", "T4"), ("ray.io/node-id", "abc"))),
        Node("head", cpus=4, gpus=0),
    )
)


@pytest.mark.parametrize(("wanted", "slots"), [("H100", 4), ("!H100", 2), ("in(H100,T4)", 6), ("in(T4, A100)", 2)])
def test_labels_choose_the_nodes_that_trials_run_on(wanted: str, slots: int) -> None:
    assert MIXED.fits(Resources(gpus=1, labels=(("ray.io/accelerator-type", wanted),))) == slots


def test_share_of_cpus_follows_the_nodes_that_are_wanted() -> None:
    assert ResourcesSection(labels={"ray.io/accelerator-type": "H100"}).resolve(MIXED).cpus == 8
    assert ResourcesSection(labels={"ray.io/accelerator-type": "!in(H100,T4)"}).resolve(MIXED).gpus == 0


def test_label_that_no_node_has_is_an_error_that_names_what_they_have() -> None:
    with pytest.raises(ClusterError, match=r"1 GPU, zone a, and no node has that much \(big: .*H100; small: 8 CPU, 2 GPU, ray.io/accelerator-type T4; head"):
        MIXED.fits(Resources(gpus=1, labels=(("zone", "a"),)))


def test_label_in_unknown_form_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"resources\.labels\.zone: got 'a b'; expected a value"):
        Resources(labels=(("zone", "a b"),))


WIDER = ResourcesSection.model_validate(
    {
        "cpus": 1,
        "memory_gb": 1.0,
        "larger": [
            {"when": {"width": {"at_least": 512}}, "cpus": 4},
            {"when": {"width": {"at_least": 512}, "kind": ["b", "c"]}, "cpus": 8, "memory_gb": 8.0},
        ],
    }
)


@pytest.mark.parametrize(
    ("values", "cpus", "memory_gb"),
    [
        ({"width": 511, "kind": "b"}, 1, 1),
        ({"width": 512, "kind": "a"}, 4, 1),
        ({"width": 1024, "kind": "c"}, 8, 8),
        ({"width": True, "kind": "c"}, 1, 1),
        ({"kind": "c"}, 1, 1),
    ],
)
def test_trials_with_certain_values_get_more_and_the_last_rule_counts(values: dict, cpus: int, memory_gb: int) -> None:
    assert WIDER.allot(LAPTOP).of(values) == Resources(cpus=cpus, memory_bytes=memory_gb * 2**30)


def test_as_many_trials_of_the_usual_kind_run_as_fit_and_a_larger_one_that_fits_nowhere_is_an_error() -> None:
    assert WIDER.allot(LAPTOP).fits(LAPTOP) == 8
    with pytest.raises(ClusterError, match=r"one trial asks for 8 CPU, 8 GiB, and no node has that much \(small: 4 CPU"):
        WIDER.allot(LAPTOP).fits(Capacity((Node("small", cpus=4, gpus=0),)))


def test_rule_over_a_hyperparameter_that_there_is_not_is_told_with_the_nearest() -> None:
    WIDER.check(["width", "kind"])
    with pytest.raises(ClusterError, match=r"resources\.larger\.when: width: unknown; did you mean widht\?"):
        WIDER.check(["widht", "kind"])


def test_share_that_was_too_small_is_doubled_up_to_a_whole_gpu() -> None:
    for share, more in ((0.25, 0.5), (0.6, 1.0), (1.0, 1.0), (2.0, 2.0), (0.0, 0.0)):
        assert Allotment(Resources(gpus=share)).of({}, larger_share=True).gpus == more
