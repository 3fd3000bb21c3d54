"""Send some tokens of a language model or a vision tower through other parameters: routes.

A route is data: which modules (names in a layer), what their branches are (`branches.py`), and which tokens take them.
The branches are next to the part and reach it by PyTorch's forward hooks, so its own tensors keep their names.
Shapes: B prompts, T tokens, P views, N tokens of a view, D E widths.
"""

# no `from __future__ import annotations`: `strict` checks types, not their names
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from typing import Any, Literal, cast

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn

from ...io.errors import ConfigError
from .base import HookState
from .branches import BRANCHES, Branch
from .language import LAST, layers_of

LAYER = "layer"  # name of a layer itself in the patterns of a route


@strict
@dataclass
class Where:
    """Where a route is: the keys of its mapping that are no arguments of its branches.

    `at` are patterns of the names of modules in a layer, such as `self_attn.*_proj`; `layer` is the layer itself.
    `tokens` are those that take the branches: `image`, `image-but-last` (the last one of a run counts as text),
    `tile` (each tile of an image has branches of its own, the whole image has none) or `all`. `part` is the part of the
    model. `first` and `every` choose layers, and `tiles` is the number of tiles. `reads` names a module of the layer
    whose input the branches read, in place of that of their own module.
    """

    at: list[str]
    tokens: Literal["image", "image-but-last", "tile", "all"] = "image"
    part: str = "language_model"
    first: int = 0
    every: int = 1
    tiles: int = 1
    reads: str | None = None


def split_route(route: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a route of a configuration into the keys of `Where` and those of its branches."""
    names = {f.name for f in fields(Where)}
    return {k: v for k, v in route.items() if k in names}, {k: v for k, v in route.items() if k not in names}


def routes_of(config: Any) -> list[dict[str, Any]]:
    """Return the routes of a configuration, and those that its positions need."""
    if config.positions["name"] != "xpos":
        return config.routes
    turned: dict[str, Any] = {"name": "xpos", "tokens": "all", "heads": config.text_config.num_attention_heads}
    return [*config.routes, *(turned | {"at": [f"self_attn.{part}_proj"], "keys": part == "k"} for part in "qk")]


class Block(nn.Module):
    """The branches of one module: one, or one for each tile."""

    def __init__(self, branches: list[Branch], tokens: str, hooks: HookState):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.tokens, self.hooks = tokens, hooks
        self.read: Tensor | None = None

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Keep the input of a module; registered as its forward pre-hook."""
        self.read = args[0] if self.hooks.places.get(self.tokens) else None

    def after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        """Change the output of a module; registered as its forward hook."""
        if not self.hooks.places.get(self.tokens):
            return out
        x = args[0] if args else kwargs["hidden_states"]
        x, self.read = x if self.read is None else self.read, None
        return (self(x, out[0]), *out[1:]) if isinstance(out, tuple) else self(x, out)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map input (B, T, D) and output (B, T, E) of the module to the new output."""
        chosen = self.hooks.places[self.tokens]
        if len(chosen) > len(self.branches):
            raise ValueError(f"an image has {len(chosen)} tiles; the route has branches for {len(self.branches)}")
        for branch, places in zip(self.branches, chosen, strict=False):
            if places is None:
                y = branch(x, y)
                continue
            flat_x, flat_y = (z if self.tokens == "tile" else z.flatten(0, 1) for z in (x, y))
            changed = branch(flat_x[places], flat_y[places])
            y = flat_y.index_copy(0, places, changed.to(y.dtype)).view_as(y)
        return y


class Route(nn.Module):
    """The branches of all modules of a route.

    Args:
        model: The model, with the part that the route is in.
        route: The mapping of the configuration.
        hooks: What the hooks of the model read.
    """

    def __init__(self, model: nn.Module, route: dict[str, Any], hooks: HookState):
        super().__init__()
        given, sizes = split_route(route)
        self.where = where = Where(**given)
        kind = BRANCHES[sizes.pop("name")]
        part: Any = model.get_submodule(where.part)
        if where.part == "language_model":
            width = part.config.hidden_size
        else:  # a vocabulary has the channels of all layers that it returns
            width = part.width // len(getattr(part, "layers", [None]))
        names = {module: name for name, module in part.named_modules()}
        count = where.tiles if where.tokens == "tile" else 1
        self.layers = nn.ModuleList()
        self.paths: list[str] = []
        self.read: list[str | None] = []  # the path of `reads` for each of them
        for layer in layers_of(part)[where.first :: where.every]:
            inside = {name or LAYER: module for name, module in layer.named_modules()}
            for pattern in where.at:
                if not any(fnmatch(name, pattern) for name in inside):
                    raise ConfigError(f"route {pattern!r}: no such module in a layer; it has {', '.join(inside)}")
            found = [name for name in inside if any(fnmatch(name, pattern) for pattern in where.at)]
            self.layers.append(
                nn.ModuleList(
                    Block([kind(inside[name], width, hooks, **sizes) for _ in range(count)], where.tokens, hooks)
                    for name in found
                )
            )
            path = f"{where.part}.{names[layer]}"
            self.paths += [path if name == LAYER else f"{path}.{name}" for name in found]
            self.read += [f"{path}.{where.reads}" if where.reads else None] * len(found)
        self.hooked: list[nn.Module | None] = [None] * len(self.paths)

    @property
    def blocks(self) -> list[Block]:
        """The branches of each module, in the order of `paths`."""
        return [block for layer in cast("list[list[Block]]", self.layers) for block in layer]

    def attach(self, model: nn.Module) -> None:
        """Register the hooks, again where a module was replaced: quantisation does so."""
        for k, (path, block) in enumerate(zip(self.paths, self.blocks, strict=True)):
            module, old = model.get_submodule(path), self.hooked[k]
            if module is old or (old is not None and any(inner is old for inner in module.modules())):  # PEFT wraps it
                continue
            module.register_forward_hook(block.after, with_kwargs=True)
            if read := self.read[k]:
                model.get_submodule(read).register_forward_pre_hook(block.before)
            self.hooked[k] = module

    def start(self, model: nn.Module) -> None:
        """Set all branches so that the model computes what it does without them."""
        for path, block in zip(self.paths, self.blocks, strict=True):
            for branch in cast("list[Branch]", block.branches):
                module = model.get_submodule(path)
                branch.start(getattr(module, "base_layer", module))  # PEFT's name of what it wraps


class Routes(nn.ModuleList):
    """All routes of a model."""

    def __init__(self, model: nn.Module, given: list[dict[str, Any]], hooks: HookState):
        super().__init__(Route(model, route, hooks) for route in given)
        self.hooks = hooks

    def start(self, model: nn.Module, loaded: Iterable[str] | None = None) -> list[str]:
        """Set the branches so that the model computes what it does without them; return the prefixes of their names.

        Args:
            model: The model.
            loaded: Names of tensors that were loaded: only routes start whose part is among them and that are not.
        """
        names, started = None if loaded is None else list(loaded), []
        for k, route in enumerate(cast("list[Route]", self)):
            own, part = f"routes.{k}.", f"{route.where.part}."
            if not any(True for _ in route.parameters()):
                continue
            if names is None or (_any_in(names, part) and not _any_in(names, own)):
                route.start(model)
                started.append(own)
        return started

    def take(self, tokens: str) -> bool:
        """Return whether a route takes such tokens (a value of `Where.tokens`)."""
        return any(route.where.tokens == tokens for route in cast("list[Route]", self))

    def attach(self, model: nn.Module) -> None:
        """Register the hooks of all routes where they are not."""
        for route in cast("list[Route]", self):
            route.attach(model)

    def prepare(self, model: nn.Module, marks_BT: Tensor | None, first: bool) -> None:
        """Tell the hooks which tokens are image tokens, and attach them in the first pass over a prompt."""
        self.hooks.places, self.hooks.losses = places_of(marks_BT), []
        if first:
            self.attach(model)


def _any_in(names: list[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def places_of(marks_BT: Tensor | None) -> dict[str, list[Tensor | None]]:
    """Return the indices of the tokens (B * T) that routes take, by kind, from the marks of `PromptImages.marks`."""
    if marks_BT is None:  # words alone
        return {"all": [None]}
    marks = marks_BT.flatten()
    kinds = {"image": marks > 0, "image-but-last": (marks > 0) & (marks != LAST)}
    return {"all": [None], **{kind: [taken.nonzero()[:, 0]] for kind, taken in kinds.items()}}
