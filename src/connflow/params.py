"""What every step's parameters have in common: frozen, complete, and strict about names."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import ComputedFieldInfo, FieldInfo

from connflow.errors import InvalidInputError

Model = TypeVar("Model", bound=BaseModel)

_UNITS = {"s": "s", "hz": "Hz", "mv": "mV", "um": "µm"}


def _title(name: str, field: FieldInfo | ComputedFieldInfo) -> str:
    """Return a field's title in forms: its name in words, the unit in brackets."""
    *words, last = name.split("_")
    unit = _UNITS.get(last) if words else None
    return f"{' '.join(words)} ({unit})" if unit else name.replace("_", " ")


_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _describe_form(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Describe a model in forms: its docstring's first paragraph, and the limits of its fields."""
    schema["description"] = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]
    for field in schema.get("properties", {}).values():
        words = [
            f"{word} {form[limit]:g}"
            for form in (field, *field.get("anyOf", ()))
            for limit, word in _LIMITS.items()
            if limit in form
        ]
        if words:
            limits = ", ".join(words).capitalize()
            field["description"] = f"{field.get('description', '')} {limits}.".lstrip()


class StepParams(BaseModel):
    """Base of the parameter models: one frozen model a step.

    Parameters say *how* a step works; refs say *on what*. The whole model, defaults spelled
    out, enters the key of the step's artifact. A model can name settings of the literature in
    `presets`; ``{"preset": name, ...}`` is that setting with the given fields changed.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        field_title_generator=_title,
        json_schema_extra=_describe_form,
    )

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "preset" not in values:
            return values
        name = values["preset"]
        if name not in cls.presets:
            known = ", ".join(sorted(cls.presets)) or "none"
            raise ValueError(f"there is no preset {name!r}; known here: {known}")
        given = {key: value for key, value in values.items() if key != "preset"}
        return {**cls.presets[name], **given}

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Build the model; see `parse_params`."""
        return parse_params(cls, values)


def parse_params(model: type[Model], values: Any) -> Model:
    """Build a model, or say in one readable message what is wrong with the values.

    Raises
    ------
    InvalidInputError
        With one line for each wrong field: its dotted name, the problem, what came.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidInputError(_describe(model, error)) from None


def _describe(model: type[BaseModel], error: ValidationError) -> str:
    return "\n".join(_describe_one(model, problem) for problem in error.errors())


def _describe_one(model: type[BaseModel], problem: Any) -> str:
    path = tuple(str(part) for part in problem["loc"])
    name = ".".join(path) or model.__name__
    if problem["type"] == "extra_forbidden":
        known = ", ".join(_fields_at(model, path[:-1]))
        return f"{name}: there is no such parameter; known here: {known}"
    return f"{name}: {problem['msg']} (got {problem['input']!r})"


def _fields_at(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    for part in path:
        annotation: Any = (
            model.model_fields[part].annotation if part in model.model_fields else None
        )
        candidates = (annotation, *getattr(annotation, "__args__", ()))  # itself, or of a union
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
                break
    return sorted(model.model_fields)
