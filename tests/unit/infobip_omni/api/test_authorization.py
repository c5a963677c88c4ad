"""Credentials format their header, and are never shown."""

from __future__ import annotations

import pytest

from infobip_omni.api.authorization import (
    ApiKeyCredentials,
    BasicCredentials,
    InvalidCredentialsError,
    parse_credentials,
)


def test_credentials_format_authorization_header() -> None:
    """An API key uses the App scheme; a user name with its password uses Basic, in UTF-8."""
    key = parse_credentials('{"apiKey": "key-1"}')
    pair = parse_credentials('{"username": "ada", "password": "pässword"}')

    assert key.authorization() == "App key-1"
    assert pair.authorization() == "Basic YWRhOnDDpHNzd29yZA=="


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"apiKey": "key-1"}\r\n',
        '\n \xa0{"apiKey": "key-1"}\u200b',
        r'{"apiKey": "key-1\n"}',
        r'{"apiKey": "\ufeff key-1 "}',
    ],
)
def test_invisible_characters_around_credentials_are_dropped(text: str) -> None:
    """Editors, shells and secret stores add them."""
    assert parse_credentials(text) == ApiKeyCredentials(api_key="key-1")


def test_spaces_belong_to_password_but_line_breaks_do_not() -> None:
    pair = parse_credentials(r'{"username": "ada\r\n", "password": "\ufeff pass word \n"}')

    assert pair == parse_credentials('{"username": "ada", "password": " pass word "}')


def test_credentials_do_not_show_when_printed() -> None:
    secret = "canary"  # noqa: S105 (not one)
    key = ApiKeyCredentials(api_key=secret)
    pair = BasicCredentials(username=secret, password=secret)

    shown = [key, pair]

    assert not [text for text in map(repr, shown) if secret in text]
    assert not [text for text in map(str, shown) if secret in text]


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"apiKey": "key-1"}',
        ' \n{"apiKey": "key-1"}\r\n',
        '{"apiKey": "key-1\\n"}',
        '{"apiKey": "\ufeffkey-1 "}',
    ],
)
def test_what_tools_add_around_a_key_is_dropped(text: str) -> None:
    """A byte order mark, and white space like the line break at the end of a file."""
    assert parse_credentials(text).authorization() == "App key-1"


def test_password_keeps_its_spaces() -> None:
    """Only the line break at its end is dropped; no password holds one."""
    pair = parse_credentials('{"username": " ada\\n", "password": " pass word \\r\\n"}')

    assert isinstance(pair, BasicCredentials)
    assert (pair.username, pair.password) == ("ada", " pass word ")


LONG = 4097 * "x"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("canary", "must hold JSON, either"),
        ('"canary"', "must hold a JSON object, either"),
        ("[" * 100_000, "must hold JSON"),
        ("{}", "the object is empty"),
        ('{"apiKey": "App canary"}', "apiKey: leave out App: the value must be the key alone"),
        ('{"apiKey": "app canary"}', "apiKey: leave out App"),
        ('{"apiKey": "Authorization: App canary"}', "apiKey: leave out App"),
        ('{"apiKey": "Basic canary"}', "apiKey: .* for Basic, give username and password"),
        ('{"apiKey": "Bearer canary"}', "apiKey: .* a token of the scheme Bearer expires"),
        ('{"apiKey": "IBSSO canary"}', "apiKey: .* a token of the scheme IBSSO expires"),
        ('{"apiKey": ""}', "apiKey: must not be empty"),
        ('{"apiKey": " \\n"}', "apiKey: must not be empty"),
        ('{"apiKey": "can\\nary"}', "apiKey: must be visible characters of ASCII"),
        ('{"apiKey": "can ary"}', "apiKey: must be visible characters of ASCII"),
        ('{"apiKey": "canary\\u0161"}', "apiKey: must be visible characters of ASCII"),
        ('{"apiKey": 7}', "apiKey: must be text"),
        ('{"apiKey": null}', "apiKey: must be text"),
        (f'{{"apiKey": "{LONG}"}}', "apiKey: must have at most 4096 characters"),
        ('{"apiKey": "canary", "apiKey": "canary"}', "a member is repeated"),
        ('{"apiKey": "canary", "username": "canary"}', "apiKey: must not be given together with"),
        (
            '{"apiKey": "canary", "baseUrl": "canary"}',
            "baseUrl: is no member of credentials: leave it out; .* parameter InfobipBaseUrl",
        ),
        ('{"apiKey": "canary", "note": "canary"}', "note: is no member .* leave it out"),
        ('{"apiKey": "canary", "9canary": ""}', "one of its members: is no member"),
        ('{"api_key": "canary"}', "api_key: is no member of credentials: write apiKey"),
        ('{"APIKEY": "canary"}', "APIKEY: is no member of credentials: write apiKey"),
        ('{"userName": "canary", "password": "canary"}', "userName: .* write username"),
        ('{"username": "canary"}', "password: is required"),
        ('{"password": "canary"}', "username: is required"),
        ('{"username": "", "password": "canary"}', "username: must not be empty"),
        ('{"username": "canary", "password": "\\n"}', "password: must not be empty"),
        (
            '{"username": "can:ary", "password": "canary"}',
            "username: must not hold a colon: write what follows it as password",
        ),
        ('{"username": "canary", "password": "\\ud83d"}', "password: must be text that UTF-8"),
    ],
)
def test_invalid_credentials_are_refused_without_being_shown(text: str, rule: str) -> None:
    """The error names the member, the rule and what to do, never a value."""
    with pytest.raises(InvalidCredentialsError, match=rule) as caught:
        parse_credentials(text)

    for value in ("canary", "can:ary", "can ary"):
        assert value not in str(caught.value)
    assert LONG not in str(caught.value)
