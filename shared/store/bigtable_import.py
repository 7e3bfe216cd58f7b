"""Imports Bigtable's data client without what nobody here uses, which is a quarter of every service's start."""

import importlib
import sys
from types import ModuleType
from typing import Final

_CLASSIC: Final = "google.cloud.bigtable.client"


def import_data_client() -> None:
    """Import google.cloud.bigtable.data. Its package would first import the classic client and the instance admin.

    A stand-in takes the classic client's place meanwhile; whoever imports the real module afterwards gets it. Does nothing
    where the package is imported already.
    """
    if "google.cloud.bigtable" in sys.modules:
        return
    stand_in = ModuleType(_CLASSIC)
    stand_in.Client = None  # type: ignore[attr-defined]  # the one name that the package takes from it
    sys.modules[_CLASSIC] = stand_in
    try:
        importlib.import_module("google.cloud.bigtable.data")
    finally:
        del sys.modules[_CLASSIC]
