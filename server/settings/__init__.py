"""The settings of the server: one table, read by the command line, the environment and CONFIG."""

from server.settings.entry import Setting
from server.settings.password import with_password
from server.settings.sources import SettingsReader
from server.settings.table import (
    DEFAULT_FSYNC,
    DEFAULT_MAX_CLIENTS,
    DEFAULT_PORT,
    DEFAULT_REWRITE_MIN_SIZE,
    MAX_MAX_CLIENTS,
    PARAMETERS,
    SETTINGS,
    BackendSettings,
    CertificateFiles,
    HTTPTimeouts,
    Settings,
    SettingsError,
    check,
)

__all__ = [
    "DEFAULT_FSYNC",
    "DEFAULT_MAX_CLIENTS",
    "DEFAULT_PORT",
    "DEFAULT_REWRITE_MIN_SIZE",
    "MAX_MAX_CLIENTS",
    "PARAMETERS",
    "SETTINGS",
    "BackendSettings",
    "CertificateFiles",
    "HTTPTimeouts",
    "Setting",
    "Settings",
    "SettingsError",
    "SettingsReader",
    "check",
    "with_password",
]
