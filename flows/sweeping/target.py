"""What a sweep runs: a flow, the arguments that all trials share, and those of one point."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_type_hints

from prefect import Flow
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

import flows
from connflow.errors import InvalidInputError
from connflow.params import parse_params
from connflow.sweep import Point, Range, Space
from flows.running.result import FlowResult

FROM_THE_SWEEP = ("profile", "store")
"""Arguments that a trial takes from its sweep."""

UNSAFE = ("drop_intermediate",)
"""Arguments that take away what other trials are working on."""


@dataclass(frozen=True)
class Target:
    """A flow, and what all trials give it.

    Parameters
    ----------
    flow : Flow
        The flow that is swept.
    arguments : mapping
        An argument for each of its parameters but profile and store.
    """

    flow: Flow[..., FlowResult]
    arguments: Mapping[str, Any]

    @classmethod
    def find(cls, name: str, arguments: Mapping[str, Any]) -> "Target":
        """Find a flow by its name or its dotted path, and complete its arguments.

        Raises
        ------
        InvalidInputError
            If there is no such flow, or if it does not take these arguments.
        """
        flow = _import_flow(name) if "." in name else _named_flow(name)
        return cls(flow, _complete(flow, arguments))

    def check(self, space: Space) -> None:
        """Raise `InvalidInputError` where a name or a value of the space is not the flow's.

        Whether values go together is not looked at: a point where they do not is a trial that
        fails.
        """
        for name, values in space.items():
            for value in values.ends if isinstance(values, Range) else values:
                try:
                    self._check_value(name, value)
                except InvalidInputError as error:
                    raise InvalidInputError(f"{name} cannot be {value!r}:\n{error}") from None

    def at(self, point: Point) -> dict[str, Any]:
        """Return the arguments at a point of the space.

        Raises
        ------
        InvalidInputError
            If values of the point do not go together.
        """
        arguments = dict(self.arguments)
        for name, content in self._place(point).items():
            base = arguments[name]
            arguments[name] = parse_params(type(base), content) if _fits(base, content) else content
        return arguments

    def _place(self, point: Point) -> dict[str, Any]:
        """Return the arguments that a point changes, as plain content."""
        changed = [name.partition(".")[0] for name in point]
        content = {name: _content(self.arguments[name]) for name in changed}
        for name, value in point.items():
            _assign(content, name.split("."), value)
        return content

    def _check_value(self, name: str, value: Any) -> None:
        argument, *path = name.split(".")
        if argument not in self.arguments:
            raise InvalidInputError(
                f"{self.flow.name} has no argument {argument!r} to vary; known here: "
                f"{', '.join(self.arguments)}"
            )
        base, content = self.arguments[argument], self._place({name: value})[argument]
        if _fits(base, content):
            _refuse(type(base), content, path)
        else:
            _complete(self.flow, {**self.arguments, argument: content})


def _import_flow(path: str) -> Flow[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        flow = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        flow = None
    if not isinstance(flow, Flow):
        raise InvalidInputError(f"there is no flow {path}")
    return flow


def _named_flow(name: str) -> Flow[..., Any]:
    known = {flow.name: flow for flow in _flows_of_connflow()}
    if name not in known:
        raise InvalidInputError(
            f"there is no flow {name!r}; take one of {', '.join(sorted(known))}, or the dotted "
            "path of a flow of your own"
        )
    return known[name]


def _flows_of_connflow() -> list[Flow[..., Any]]:
    names = [module.name for module in iter_modules(flows.__path__)]
    public = [name for name in names if not name.startswith("_") and name not in ("cli", "sweep")]
    modules = [import_module(f"flows.{name}") for name in public]
    return [item for module in modules for item in vars(module).values() if isinstance(item, Flow)]


def _complete(flow: Flow[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return an argument for each parameter of a flow: the given ones, else the defaults."""
    hints = get_type_hints(flow.fn, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if item.default is inspect.Parameter.empty else item.default)
        for name, item in inspect.signature(flow.fn).parameters.items()
        if name not in FROM_THE_SWEEP
    }
    model = create_model(flow.name, __config__=ConfigDict(extra="forbid"), **fields)
    complete = dict(parse_params(model, dict(arguments)))
    for name in UNSAFE:
        if complete.get(name):
            raise InvalidInputError(
                f"{name} is not for a sweep: trials share what it drops. Drop afterwards, with "
                "`connflow store drop`"
            )
    return complete


def _fits(base: Any, content: Any) -> bool:
    return isinstance(base, BaseModel) and isinstance(content, dict)


def _content(base: Any) -> Any:
    return base.model_dump(exclude_unset=True) if isinstance(base, BaseModel) else base


def _assign(content: dict[str, Any], path: list[str], value: Any) -> None:
    for depth, part in enumerate(path[:-1]):
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise InvalidInputError(
                f"{'.'.join(path[: depth + 1])} is {content!r}, which has no parameters"
            )
    content[path[-1]] = value


def _refuse(model: type[BaseModel], content: dict[str, Any], path: list[str]) -> None:
    """Raise what is wrong with the value at a path, whatever else does not go with it."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        if any(
            problem["type"] != "value_error" or len(problem["loc"]) >= len(path)
            for problem in error.errors()
        ):
            parse_params(model, content)
