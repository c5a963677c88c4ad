"""The layout of LINE's Flex messages: containers of boxes of components.

Components may be nested as deeply as the JSON of an event may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from .content import IS_URL, LARGEST_INT32, ContentObject, LongText
from .variants import Variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .variants import Variant

_Flex = Annotated[StrictInt, Field(ge=0, le=10)]
_Lines = Annotated[StrictInt, Field(ge=0, le=LARGEST_INT32)]
_Label = Annotated[StrictStr, Field(max_length=20)]
_ActionText = Annotated[StrictStr, Field(max_length=300)]
_ActionUri = Annotated[StrictStr, Field(max_length=1000), IS_URL]
_ImageUrl = Annotated[LongText, IS_URL]
_Alignment = Literal["START", "END", "CENTER"]
_Gravity = Literal["TOP", "BOTTOM", "CENTER"]
_Spacing = Literal["XS", "SM", "MD", "LG", "XL", "XXL", "NONE"]
_Size = Literal["XXS", "XS", "SM", "MD", "LG", "XL", "XXL", "XXXL", "XXXXL", "XXXXXL"]
_ImageSize = Literal[_Size, "FULL"]


# --- Actions ---------------------------------------------------------------------------------


class PostbackButtonAction(ContentObject):
    """Sends data back to the sender."""

    type: Literal["POSTBACK"]
    label: _Label
    data: _ActionText
    display_text: _ActionText


class UriButtonAction(ContentObject):
    """Opens a URI."""

    type: Literal["URI"]
    label: _Label
    uri: _ActionUri


class MessageButtonAction(ContentObject):
    """Sends a text back as a message of the recipient."""

    type: Literal["MESSAGE"]
    label: _Label
    text: _ActionText


_Action = Annotated[
    ContentObject,
    Variants(
        "type",
        lambda: {
            "POSTBACK": PostbackButtonAction,
            "URI": UriButtonAction,
            "MESSAGE": MessageButtonAction,
        },
    ),
]


# --- Components ------------------------------------------------------------------------------


class ButtonComponent(ContentObject):
    """A button."""

    type: Literal["BUTTON"]
    action: _Action
    flex: _Flex | None = None
    margin: _Spacing | None = None
    height: Literal["SM", "MD"] | None = None
    style: Literal["LINK", "PRIMARY", "SECONDARY"] | None = None
    color: LongText | None = None
    gravity: _Gravity | None = None


class FillerComponent(ContentObject):
    """Empty space that fills what is left."""

    type: Literal["FILLER"]


class IconComponent(ContentObject):
    """An icon beside a text."""

    type: Literal["ICON"]
    url: _ImageUrl
    margin: _Spacing | None = None
    size: _Size | None = None
    aspect_ratio: LongText | None = None


class ImageComponent(ContentObject):
    """An image."""

    type: Literal["IMAGE"] | None = None
    url: _ImageUrl
    flex: _Flex | None = None
    margin: _Spacing | None = None
    align: _Alignment | None = None
    gravity: _Gravity | None = None
    size: _ImageSize | None = None
    aspect_ratio: LongText | None = None
    aspect_mode: Literal["COVER", "FIT"] | None = None
    background_color: LongText | None = None
    action: _Action | None = None


class SeparatorComponent(ContentObject):
    """A line between components."""

    type: Literal["SEPARATOR"]
    margin: _Spacing | None = None
    color: LongText | None = None


class SpacerComponent(ContentObject):
    """Empty space of a fixed size."""

    type: Literal["SPACER"]
    size: _Spacing | None = None


class TextComponent(ContentObject):
    """A text."""

    type: Literal["TEXT"]
    text: LongText
    flex: _Flex | None = None
    margin: _Spacing | None = None
    size: _Size | None = None
    align: _Alignment | None = None
    gravity: _Gravity | None = None
    wrap: StrictBool | None = None
    max_lines: _Lines | None = None
    color: LongText | None = None
    weight: Literal["BOLD", "REGULAR"] | None = None
    action: _Action | None = None


# --- Boxes -----------------------------------------------------------------------------------


class _Box(ContentObject):
    type: Literal["BOX"] | None = None
    flex: _Flex | None = None
    spacing: _Spacing | None = None
    margin: _Spacing | None = None
    action: _Action | None = None


def _baseline_components() -> Mapping[str, Variant]:
    return {
        "FILLER": FillerComponent,
        "TEXT": TextComponent,
        "ICON": IconComponent,
        "SPACER": SpacerComponent,
    }


def _horizontal_vertical_components() -> Mapping[str, Variant]:
    return {
        "BOX": _BOXES,
        "BUTTON": ButtonComponent,
        "FILLER": FillerComponent,
        "IMAGE": ImageComponent,
        "TEXT": TextComponent,
        "SEPARATOR": SeparatorComponent,
        "SPACER": SpacerComponent,
    }


_BaselineComponent = Annotated[ContentObject, Variants("type", _baseline_components)]
_HorizontalVerticalComponent = Annotated[
    ContentObject, Variants("type", _horizontal_vertical_components)
]


class BaselineBoxComponent(_Box):
    """A box whose components have one baseline."""

    layout: Literal["BASELINE"]
    contents: tuple[_BaselineComponent, ...]


class HorizontalVerticalBoxComponent(_Box):
    """A box whose components are side by side, or one below the other."""

    layout: Literal["HORIZONTAL", "VERTICAL"]
    contents: tuple[_HorizontalVerticalComponent, ...]


_BOXES = Variants(
    "layout",
    lambda: {
        "HORIZONTAL": HorizontalVerticalBoxComponent,
        "VERTICAL": HorizontalVerticalBoxComponent,
        "BASELINE": BaselineBoxComponent,
    },
)
_AnyBox = Annotated[ContentObject, _BOXES]


# --- Containers ------------------------------------------------------------------------------


class BlockComponentStyle(ContentObject):
    """The colours of a part of a bubble."""

    background_color: LongText | None = None
    separator: StrictBool | None = None
    separator_color: LongText | None = None


class ComponentStyle(ContentObject):
    """The colours of a bubble, part by part."""

    header: BlockComponentStyle | None = None
    hero: BlockComponentStyle | None = None
    body: BlockComponentStyle | None = None
    footer: BlockComponentStyle | None = None


class BubbleFlexContainer(ContentObject):
    """One bubble."""

    type: Literal["BUBBLE"] | None = None
    direction: Literal["LEFT_TO_RIGHT", "RIGHT_TO_LEFT"]
    header: _AnyBox | None = None
    hero: ImageComponent | None = None
    body: _AnyBox | None = None
    footer: _AnyBox | None = None
    styles: ComponentStyle | None = None


class CarouselFlexContainer(ContentObject):
    """Bubbles side by side."""

    type: Literal["CAROUSEL"]
    contents: tuple[BubbleFlexContainer, ...] | None = None


CONTAINERS: Mapping[str, Variant] = {
    "BUBBLE": BubbleFlexContainer,
    "CAROUSEL": CarouselFlexContainer,
}
