"""Reads infra/topology.yaml."""

from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import yaml

from shared.domain.errors import PermanentError
from shared.domain.topology import Topology

TOPOLOGY_FILE: Final = Path(__file__).resolve().parents[2] / "infra" / "topology.yaml"


@cache
def load_topology(path: Path = TOPOLOGY_FILE) -> Topology:
    """Every declared topic, subscription and table; raises PermanentError naming the file and the fault."""
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Topology)
    except (OSError, yaml.YAMLError, msgspec.MsgspecError) as error:
        raise PermanentError(f"{path.name} is not a valid topology: {error}") from error
