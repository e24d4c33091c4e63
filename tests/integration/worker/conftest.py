"""The dispatcher's fixtures, for tests that run real workers against a real dispatcher."""

from tests.integration.dispatch.conftest import deploy, dispatcher, settings

__all__ = ["deploy", "dispatcher", "settings"]
