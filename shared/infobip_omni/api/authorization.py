"""The credentials of an Infobip account, and their Authorization header."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, ValidationError
from pydantic_core import PydanticCustomError

from .json_text import trimmed
from .wire import RequestBody

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Characters; a value in SSM has at most 8192.
_LONGEST_CREDENTIAL = 4096
_FORMS = '{"apiKey": ...} or {"username": ..., "password": ...}'
#: The rules of pydantic's own types of error.
_RULES = {
    "missing": "is required",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "string_unicode": "must be text that UTF-8 can hold",
}
#: The schemes of Infobip's Authorization header, as a person may have copied them with the key.
_SCHEME = re.compile(r"(?:Authorization: *)?(App|Basic|Bearer|IBSSO)\s", re.IGNORECASE)
_SCHEME_RULES = {
    "app": 'leave out App: the value must be the key alone, without "App "',
    "basic": "must be an API key: for Basic, give username and password instead",
    "bearer": "must be an API key: a token of the scheme Bearer expires",
    "ibsso": "must be an API key: a token of the scheme IBSSO expires",
}
#: Characters that an HTTP header can hold.
_VISIBLE = re.compile(r"[\x21-\x7e]+")
#: A member's name that is shown. A name with digits or punctuation may be a key in the wrong place.
_NAME = re.compile(r"[A-Za-z]{1,20}(?:[_-][A-Za-z]{1,20})?")


def _without_space(value: object) -> object:
    """Drop what an editor or a shell has added around a key."""
    return trimmed(value) if isinstance(value, str) else value


def _without_line_breaks(value: object) -> object:
    """Drop what tools add to a text: spaces may belong to a password, but no line break can."""
    return value.strip("\ufeff\r\n") if isinstance(value, str) else value


def _key(text: str) -> str:
    match = _SCHEME.match(text)
    if match:
        raise _broken(_SCHEME_RULES[match.group(1).lower()])
    if not _VISIBLE.fullmatch(text):
        raise _broken("must be visible characters of ASCII, without spaces")
    return text


def _user(text: str) -> str:
    if ":" in text:
        raise _broken("must not hold a colon: write what follows it as password")
    return text


def _broken(rule: str) -> PydanticCustomError:
    # Braces would be read as the name of a value.
    return PydanticCustomError("credential", "{rule}", {"rule": rule})


class ApiKeyCredentials(RequestBody):
    """An API key."""

    api_key: Annotated[
        StrictStr,
        Field(min_length=1, max_length=_LONGEST_CREDENTIAL),
        BeforeValidator(_without_space),
        AfterValidator(_key),
    ] = Field(repr=False)

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        return f"App {self.api_key}"


class BasicCredentials(RequestBody):
    """A user's name and password."""

    username: Annotated[
        StrictStr,
        Field(min_length=1, max_length=_LONGEST_CREDENTIAL),
        BeforeValidator(_without_space),
        AfterValidator(_user),
    ] = Field(repr=False)
    password: Annotated[
        StrictStr,
        Field(min_length=1, max_length=_LONGEST_CREDENTIAL),
        BeforeValidator(_without_line_breaks),
    ] = Field(repr=False)

    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


Credentials = ApiKeyCredentials | BasicCredentials
_KINDS: tuple[type[Credentials], ...] = (ApiKeyCredentials, BasicCredentials)
#: What to do about a member that people add.
_HINTS = {"baseurl": "the URL is the template's parameter InfobipBaseUrl"}


class InvalidCredentialsError(ValueError):
    """The text continues the name of the parameter: the rule, its member, and what to do.

    It never quotes a value.
    """


def parse_credentials(text: str) -> Credentials:
    """Parse ``{"apiKey": …}`` or ``{"username": …, "password": …}``.

    A byte order mark and white space around the text are ignored, and around an API key or a user's
    name; so are line breaks at the ends of a password.

    Raises:
        InvalidCredentialsError: The text breaks a rule.
    """
    try:
        members = json.loads(trimmed(text), object_pairs_hook=_without_repeats)
    except InvalidCredentialsError:
        raise
    except (ValueError, RecursionError):
        raise InvalidCredentialsError(f"must hold JSON, either {_FORMS}") from None
    if not isinstance(members, dict):
        raise InvalidCredentialsError(f"must hold a JSON object, either {_FORMS}")
    kind = _kind(members)
    try:
        return kind.model_validate(members)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise _invalid(str(problem["loc"][0]), _rule(problem)) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; of a repeated member, JSON's readers would silently take the last."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise InvalidCredentialsError("breaks a rule: a member is repeated: give each one once")
    return members


def _kind(members: dict[str, Any]) -> type[Credentials]:
    """Return the form of credentials, by the names of their members."""
    names = {kind: _names(kind) for kind in _KINDS}
    known = {name for each in names.values() for name in each}
    for name in members:
        if name not in known:
            raise _unknown(name, known)
    used = [kind for kind in _KINDS if names[kind] & members.keys()]
    if not used:
        raise InvalidCredentialsError(f"must hold {_FORMS}: the object is empty")
    if len(used) > 1:
        raise _invalid("apiKey", "must not be given together with username or password")
    return used[0]


def _unknown(name: str, known: set[str]) -> InvalidCredentialsError:
    """Return the error for a member that no form has; name it if it cannot be a credential."""
    bare = re.sub(r"[^a-z]", "", name.lower())
    meant = next((each for each in sorted(known) if each.lower() == bare), None)
    shown = name if _NAME.fullmatch(name) else "one of its members"
    if meant:
        return _invalid(shown, f"is no member of credentials: write {meant}")
    hint = _HINTS.get(bare, f"credentials have {', '.join(sorted(known))} only")
    return _invalid(shown, f"is no member of credentials: leave it out; {hint}")


def _names(kind: type[Credentials]) -> frozenset[str]:
    return frozenset(str(each.alias) for each in kind.model_fields.values())


def _invalid(member: str, rule: str) -> InvalidCredentialsError:
    return InvalidCredentialsError(f"breaks a rule: {member}: {rule}")


def _rule(problem: ErrorDetails) -> str:
    """Return the rule as a text of this module; only limits come from pydantic's context."""
    context = problem.get("ctx", {})
    return _RULES.get(problem["type"], "{rule}").format_map({"rule": problem["msg"]} | context)
