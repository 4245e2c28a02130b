"""Processors that answer."""

from .agent import Agent

__all__ = ["Agent"]
