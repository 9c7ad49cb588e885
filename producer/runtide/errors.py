"""What Runtide's SDK can raise. After `init` has returned nothing here is ever raised into training.

RuntideError
+-- SettingsError (a ValueError)     a setting, an argument of `init` or an environment variable that can't be used
+-- ContractError (a ValueError)     bytes that break the event contract
"""

from __future__ import annotations


class RuntideError(Exception):
    """Runtide can't do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class SettingsError(RuntideError, ValueError):
    """A setting has a value that can't be used."""


class ContractError(RuntideError, ValueError):
    """These bytes break the event contract."""

    @property
    def reason(self) -> str:
        """What is wrong, in one line."""
        return str(self)
