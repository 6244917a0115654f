"""Where a sweep's folder keeps the copies of the user's own builder, and which of them a record means.

Owns the place and nothing else: what belongs to a copy, and when one is made, is tuner/sweep/sources.py's.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FACT: Final = "builder_sources"
FOLDER = "builder"


def kept(facts: Mapping[str, Any], folder: str | Path) -> tuple[str, ...]:
    """Return the folder of the copy of the sources, as a search path; empty where there is none.

    Args:
        facts: of the sweep, or anything that has its fact `builder_sources`.
        folder: the sweep's.
    """
    recorded = facts.get(FACT)
    place = str(recorded.get("folder", "")) if isinstance(recorded, Mapping) else ""
    # No path of a record leads out of its folder.
    return (str(Path(folder).resolve() / place),) if re.fullmatch(rf"{FOLDER}/\d+", place) else ()
