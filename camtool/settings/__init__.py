"""Settings: strict, frozen, and read from YAML with errors that name file, line and key path.

The engine knows nothing of what is set: it takes any `Settings` class. Exchangeable parts are
unions of settings classes told apart by their `name`.
"""

from __future__ import annotations

from camtool.settings.classes import FilePath, Settings, members
from camtool.settings.describe import SettingRow, describe, schema
from camtool.settings.load import load_settings
from camtool.settings.written import differences
from camtool.settings.yaml_text import dump_settings

__all__ = [
    "FilePath",
    "SettingRow",
    "Settings",
    "describe",
    "differences",
    "dump_settings",
    "load_settings",
    "members",
    "schema",
]
