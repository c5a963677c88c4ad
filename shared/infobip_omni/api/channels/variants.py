"""A member of a content whose model depends on the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import PydanticCustomError, core_schema

from .content import error_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import GetCoreSchemaHandler

    from .content import ContentObject

Variant: TypeAlias = "type[ContentObject] | Variants"


@dataclass(frozen=True, slots=True)
class Variants:
    """Validates an object by the model that one of its members names.

    It differs from pydantic's tagged union in its errors: a missing or unknown word is an error of
    the member that holds it, and the path of every other error holds names of members only.
    """

    #: The member that names the model.
    member: str
    #: Returns the models by the words of that member. They may be defined, or imported, later.
    models: Callable[[], Mapping[str, Variant]]

    def validate(self, value: object) -> ContentObject:
        """Validate an object.

        Raises:
            ValidationError: It breaks a rule of its model, or names none.
            PydanticCustomError: It is not an object.
        """
        if not isinstance(value, dict):
            raise PydanticCustomError("no_object", "must be an object")
        models = self.models()
        word = value.get(self.member)
        if word is None:
            raise error_at(self.member, PydanticCustomError("no_variant", "is required"))
        if not isinstance(word, str) or word not in models:
            words = ", ".join(models)
            raise error_at(
                self.member,
                PydanticCustomError("variant", "must be one of {words}", {"words": words}),
            )
        variant = models[word]
        if isinstance(variant, Variants):
            return variant.validate(value)
        return variant.model_validate(value)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the schema of a member that is annotated with the variants."""
        return core_schema.no_info_plain_validator_function(self.validate)
