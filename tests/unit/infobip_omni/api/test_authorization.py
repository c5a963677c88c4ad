"""Credentials format their header, and are never shown."""

from __future__ import annotations

import pytest

from infobip_omni.api.authorization import ApiKeyCredentials, BasicCredentials, parse_credentials


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
    ("text", "rule"),
    [
        ("canary", "must be JSON"),
        ('"canary"', "must be a JSON object"),
        ("{}", "username"),
        ('{"username": "canary"}', "password"),
        ('{"username": "can:ary", "password": "canary"}', "username"),
        ('{"apiKey": ""}', "apiKey"),
        ('{"apiKey": "can\\nary"}', "apiKey"),
        ('{"apiKey": "\\n"}', "apiKey"),
        ('{"username": "\\n", "password": "canary"}', "username"),
        ('{"username": "canary", "password": "\\n"}', "password"),
        ('{"apiKey": "can ary"}', "apiKey"),
        ('{"apiKey": 7}', "apiKey"),
        ('{"apiKey": "canary", "username": "canary"}', "username"),
        ('{"api_key": "canary"}', "api_key"),
    ],
)
def test_invalid_credentials_are_refused_without_being_shown(text: str, rule: str) -> None:
    """The error names a member or a rule, never a value."""
    with pytest.raises(ValueError, match=rule) as caught:
        parse_credentials(text)

    assert "canary" not in str(caught.value)
    assert "can:ary" not in str(caught.value)
