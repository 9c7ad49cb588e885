"""What a store can raise.

StoreError (a RuntideError)
+-- NoSuchArtifact    there is no such artifact, version or alias
+-- Unavailable       the store can't be reached now: call again later
+-- Damaged           what is stored is not what was put
"""

from __future__ import annotations

from typing import ClassVar

from runtide.errors import RuntideError


class StoreError(RuntideError):
    """The artifact store can't do what was asked."""


class NoSuchArtifact(StoreError):
    """There is no such artifact."""


class Unavailable(StoreError):
    """The artifact store can't be reached now."""

    retriable: ClassVar[bool] = True


class Damaged(StoreError):
    """What is stored is not what was put."""
