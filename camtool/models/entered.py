"""Names for the modules that the tracer entered: a graph has their operations, but no call of them.

Without a call no hook sees them, and `inception4e` of GoogLeNet, say, could not be named as a
layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor, fx

__all__ = ["Entered", "name_entered"]


@final
class Entered(nn.Module):
    """A module that was entered, with its weights and layers; it is called with its own result."""

    def forward(self, result: Tensor) -> Tensor:
        """Return `result`, which hooks may see and replace."""
        return result


def name_entered(cut: fx.GraphModule) -> None:
    """Call each entered module with what its code makes, in place; no value changes.

    A module whose code makes several things that others use has no one result, and gets no name.
    Nodes know their `meta["path"]`, the place in the network's code that they come from.
    """
    entered = [name for name, module in cut.named_modules() if name and type(module) is nn.Module]
    # What lies within goes first: its call is then the result of what lies around it.
    for path in sorted(entered, key=lambda name: -name.count(".")):
        results = [n for n in cut.graph.nodes if _within(n, path) and _users_outside(n, path)]
        if len(results) != 1:
            continue
        (result,) = results
        outside = _users_outside(result, path)
        with cut.graph.inserting_after(result):
            call = cut.graph.call_module(path, (result,))
        call.meta["path"] = path
        for user in outside:
            user.replace_input_with(result, call)
        cut.get_submodule(path).__class__ = Entered
    cut.recompile()


def _within(node: fx.Node, path: str) -> bool:
    return f"{node.meta.get('path', '')}.".startswith(f"{path}.")


def _users_outside(node: fx.Node, path: str) -> list[fx.Node]:
    return [user for user in node.users if not _within(user, path)]
