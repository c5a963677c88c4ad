"""What a channel rejects when the step of a message starts, so the next step follows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .sms_parts import count_parts

if TYPE_CHECKING:
    from collections.abc import Collection

Json = dict[str, Any]

_MOST_PARTS = 25
_MOST_BYTES = 4000
_LONGEST_PAYLOAD = 4000


def sms_parts(content: Json) -> int:
    """Return the number of parts of an SMS with this content."""
    language = content.get("language") or {}
    return count_parts(
        content["text"],
        language=language.get("languageCode"),
        transliterated=content.get("transliteration") not in (None, "NONE"),
    )


def rejection_of(channel: str, content: Json, inbox_topics: Collection[str]) -> str | None:
    """Return the name of the status by which a channel rejects content; None if it does not.

    Args:
        channel: The channel.
        content: A valid content.
        inbox_topics: The topics of the app's inbox; if empty, any topic exists.
    """
    if channel == "VOICE" and not content["text"].strip():
        return "REJECTED_MESSAGE_IS_EMPTY"
    if channel == "SMS":
        is_long = len(content["text"].encode(errors="surrogatepass")) > _MOST_BYTES
        return "REJECTED_MESSAGE_TOO_LONG" if is_long or sms_parts(content) > _MOST_PARTS else None
    if channel == "PUSH":
        options = content.get("notificationOptions") or {}
        has_content = (content.get("text") or "").strip() or content.get("customPayload")
        if not has_content and not options.get("isSilent"):
            return "REJECTED_NO_CONTENT"
        topic = options.get("inboxTopic")
        if inbox_topics and topic is not None and topic not in inbox_topics:
            return "REJECTED_INVALID_INBOX_TOPIC"
        if _payload_length(content) > _LONGEST_PAYLOAD:
            return "REJECTED_PAYLOAD_TOO_BIG"
    return None


def _payload_length(content: Json) -> int:
    """Return the length of a push in characters; Infobip does not say what of it counts."""
    members = ("text", "customPayload", "notificationOptions")
    payload = {member: content[member] for member in members if content.get(member) is not None}
    return len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")))
