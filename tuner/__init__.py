"""A distributed hyperparameter search service for Keras.

    import tuner
    result = tuner.run(build_model, data=(x, y), trials=50, max_epochs=20)

Everything here is loaded when it is first used: importing this package takes no time, and neither Ray nor TensorFlow.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.errors import ClusterError
    from search_spaces.errors import SearchSpaceError
    from tuner.errors import DatasetError, NothingToRank, SpecError, SweepError
    from tuner.sweep.api import compare, load, plan, run, simulate
    from tuner.sweep.api_data import Data
    from tuner.sweep.api_result import Comparison, Plan, Report, Result, Table

__all__ = [
    "ClusterError",
    "Comparison",
    "Data",
    "DatasetError",
    "NothingToRank",
    "Plan",
    "Report",
    "Result",
    "SearchSpaceError",
    "SpecError",
    "SweepError",
    "Table",
    "compare",
    "load",
    "plan",
    "run",
    "simulate",
]

_PLACES = {
    "ClusterError": "cluster.errors",
    "SearchSpaceError": "search_spaces.errors",
    **dict.fromkeys(("DatasetError", "NothingToRank", "SpecError", "SweepError"), "tuner.errors"),
    **dict.fromkeys(("compare", "load", "plan", "run", "simulate"), "tuner.sweep.api"),
    "Data": "tuner.sweep.api_data",
    **dict.fromkeys(("Comparison", "Plan", "Report", "Result", "Table"), "tuner.sweep.api_result"),
}


def __getattr__(name: str) -> Any:
    import importlib
    import warnings

    if name not in _PLACES:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    with warnings.catch_warnings():
        # Optuna 5.0 imports tqdm, which says in every kernel that packages for widgets are missing; nothing here uses them.
        warnings.filterwarnings("ignore", message="IProgress")
        return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
