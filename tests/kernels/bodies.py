"""Both bodies of the kernels: a test that takes the fixture `body` runs with each of them."""

from __future__ import annotations

import importlib

import pytest


def take(monkeypatch, body: str, *modules: str) -> None:
    """Let modules call the `compiled` or the `plain` body of every kernel that they import."""
    taken = 0
    for module in map(importlib.import_module, modules):
        for name, value in list(vars(module).items()):
            if hasattr(value, "plain") and hasattr(value, "compiled"):
                monkeypatch.setattr(module, name, getattr(value, body))
                taken += 1
    assert taken >= len(modules)


def body_of(*modules: str):
    """Return a fixture by which these modules call one body after the other."""

    @pytest.fixture(params=["compiled", "plain"], name="body")
    def fixture(request, monkeypatch) -> str:
        take(monkeypatch, request.param, *modules)
        return request.param

    return fixture
