"""Local servers that speak the published protocols of vendors, for tests with the official SDKs."""

from .server import Asked, FakeProvider, FakeSocket, Fault

__all__ = ["Asked", "FakeProvider", "FakeSocket", "Fault"]
