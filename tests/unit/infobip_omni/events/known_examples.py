"""The forms of a send that Infobip's documents and its callers use, in texts of our own.

Each is named by where its form is from: the OpenAPI document, the developer pages of 2016 to 2019,
or programs that others have published.
"""

from __future__ import annotations

from typing import Any

PHONE = "41793026727"

KNOWN_EXAMPLES: dict[str, dict[str, Any]] = {
    "OpenAPI: push, then SMS": {
        "scenarioKey": "6298AE6C8D2A9ADB",
        "bulkId": "spring-1",
        "destinations": [
            {"messageId": "spring-1-1", "to": {"phoneNumber": PHONE}},
            {"messageId": "spring-1-2", "to": {"pushRegistrationId": "r-1", "phoneNumber": PHONE}},
        ],
        "push": {
            "text": "Your order is ready.",
            "validityPeriod": 5,
            "validityPeriodTimeUnit": "MINUTES",
            "customPayload": {"order": "4711", "lines": [1, 2.5, None, {"gift": True}]},
            "notificationOptions": {
                "vibrationEnabled": True,
                "soundEnabled": True,
                "soundName": "default",
                "badge": 6,
                "contentUrl": "https://acme.example/ready.png",
                "category": "ORDERS",
                "inAppStyle": "BANNER",
                "title": "Acme",
                "isSilent": False,
                "webViewUrl": "https://acme.example/orders",
                "inboxTopic": "orders",
            },
            "targetOnlyPrimaryDevices": True,
            "includeNotificationsDisabledDevices": False,
            "personSubscriptions": ["orders", "news"],
            "deviceSubscriptions": ["orders"],
        },
        "sms": {
            "text": "Acme: your order is ready.",
            "validityPeriod": 2,
            "validityPeriodTimeUnit": "DAYS",
            "transliteration": "CENTRAL_EUROPEAN",
            "language": {"languageCode": "AUTODETECT"},
        },
        "notify": True,
        "notifyUrl": "https://acme.example/reports",
        "notifyContentType": "application/json",
        "intermediateReport": True,
        "callbackData": "order 4711",
        "sendAt": "2026-02-01T12:00:00.000+0000",
    },
    "OpenAPI: regional SMS": {
        "destinations": [{"to": {"phoneNumber": "919012345678"}}],
        "sms": {
            "text": "Your order is ready.",
            "regional": {
                "indiaDlt": {
                    "principalEntityId": "1",
                    "contentTemplateId": "2",
                    "telemarketerId": "3",
                },
                "korea": {"title": "Acme"},
            },
        },
    },
    "2016: validity periods are strings": {
        "bulkId": "BULK-1",
        "scenarioKey": "6298AE6C8D2A9ADB",
        "destinations": [
            {"messageId": "M-1", "to": {"phoneNumber": PHONE, "emailAddress": "ana@acme.example"}},
            {"to": {"phoneNumber": "41793026834"}},
        ],
        "sms": {"text": "Ready.", "validityPeriod": "12"},
        "voice": {"text": "Your order is ready.", "validityPeriod": "60"},
        "viber": {
            "text": "Ready.",
            "imageURL": "https://acme.example/ready.png",
            "buttonText": "See it",
            "buttonURL": "https://acme.example/orders",
            "isPromotional": False,
            "validityPeriod": "35",
            "validityPeriodTimeUnit": "MINUTES",
        },
        "email": {"text": "<p>Ready.</p>", "subject": "Acme", "validityPeriod": "24"},
        "sendAt": "2026-02-01T16:00:00.000+0100",
    },
    "2016: push with hours": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "push": {
            "text": "Ready.",
            "customPayload": {"key": "value"},
            "validityPeriod": 48,
            "validityPeriodTimeUnit": "HOURS",
        },
        "sms": {"text": "Ready."},
        "notifyUrl": "http://acme.example/reports",
        "notifyContentType": "application/xml",
        "callbackData": "x" * 200,
    },
    "2017: Viber text, then SMS, in seconds": {
        "scenarioKey": "6298AE6C8D2A9ADB",
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "viber": {"text": "Ready.", "validityPeriod": 40, "validityPeriodTimeUnit": "SECONDS"},
        "sms": {"text": "Ready."},
    },
    "OpenAPI: Viber file": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "viber": {
            "fileUrl": "https://acme.example/bill.pdf",
            "fileName": "bill.pdf",
            "fileType": "pdf",
            "trackingData": "order 4711",
            "forcePrimaryDevice": True,
        },
    },
    "OpenAPI: WhatsApp text to a user": {
        "destinations": [{"to": {"whatsAppUserId": "DE.a1b2c3"}}],
        "whatsApp": {"text": "See https://acme.example", "previewUrl": True},
    },
    "2019: WhatsApp template": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "whatsApp": {
            "templateName": "order_ready",
            "templateNamespace": "acme",
            "templateData": ["Ana", "4711"],
            "language": "en",
        },
        "sms": {"text": "Ready."},
    },
    "OpenAPI: WhatsApp media template": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "whatsApp": {
            "templateName": "order_ready",
            "mediaTemplateData": {
                "header": {"documentUrl": "https://acme.example/b", "documentFilename": "b.pdf"},
                "body": {"placeholders": ["Ana"]},
                "buttons": [{"quickReplyPayload": "yes"}],
            },
            "language": "en",
        },
    },
    "OpenAPI: WhatsApp location": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "whatsApp": {
            "longitude": 15.9819,
            "latitude": 45.8150,
            "locationName": "Acme",
            "address": "Ilica 1",
        },
    },
    "OpenAPI: WhatsApp image": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "whatsApp": {"imageUrl": "https://acme.example/ready.png", "text": "Ready."},
    },
    "OpenAPI: voice and e-mail": {
        "destinations": [{"to": {"phoneNumber": PHONE, "emailAddress": "ana@acme.example"}}],
        "voice": {"text": "Ready.", "language": "en"},
        "email": {"text": "Ready.", "subject": "Acme"},
    },
    "OpenAPI: KakaoTalk": {
        "destinations": [{"to": {"phoneNumber": "821012345678"}}],
        "kakaoAlim": {"text": "Ready.", "templateCode": "order-ready"},
        "kakaoChingu": {"text": "Ready.", "isPromotional": False},
    },
    "OpenAPI: LINE and VKontakte": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "line": {"type": "TEXT", "text": "Ready."},
        "vKontakte": {"templateName": "ready", "templateData": {"name": "Ana"}},
    },
    "published program: one text for every channel": {
        "destinations": [{"to": {"phoneNumber": PHONE}}],
        "scenarioKey": "6298AE6C8D2A9ADB",
        "viber": {"text": "Ready."},
        "line": {"text": "Ready."},
        "voice": {"text": "Ready."},
        "sms": {"text": "Ready."},
    },
    "published program: phone number with a plus": {
        "scenarioKey": "6298AE6C8D2A9ADB",
        "destinations": [{"to": {"phoneNumber": "+260976000000"}}],
        "whatsApp": {"text": "Ready."},
    },
    "serialized object: absent members are null": {
        "scenarioKey": "6298AE6C8D2A9ADB",
        "bulkId": None,
        "destinations": [
            {"messageId": None, "to": {"phoneNumber": PHONE, "emailAddress": None}},
        ],
        "sms": {"text": "Ready.", "validityPeriod": None, "validityPeriodTimeUnit": None,
                "language": None, "transliteration": None, "regional": None},
        "viber": None,
        "notify": None,
        "notifyUrl": None,
        "callbackData": None,
        "sendAt": None,
    },
}  # fmt: skip
