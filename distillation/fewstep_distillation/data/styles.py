"""The nine art styles: where each comes from, under which licence, and the word that asks for it in a prompt."""

from dataclasses import dataclass

from fewstep_distillation.data.packages import Package


@dataclass(frozen=True)
class Style:
    """One vendor's drawings of the emoji; `word` is neutral on purpose, vendors are named in the attribution alone.

    `bitmaps` is the folder of the package that holds one WebP a glyph, named by its code points; without it the package is an icon set
    in Iconify's JSON. `within` is the key of the style outside whose glyphs this one is not trusted.
    """

    key: str
    package: Package
    licence: str
    credit: str
    word: str
    bitmaps: str | None = None
    within: str | None = None


NOTO = Style(
    "noto",
    Package(
        "@iconify-json/noto",
        "1.2.9",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "Apache-2.0",
    "Google, Noto Emoji",
    "glossy",
)
NOTO_V1 = Style(
    "noto-v1",
    Package(
        "@iconify-json/noto-v1",
        "1.2.5",
        "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
    ),
    "Apache-2.0",
    "Google, Noto Emoji v1",
    "retro",
)
FXEMOJI = Style(
    "fxemoji",
    Package(
        "@iconify-json/fxemoji",
        "1.2.2",
        "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
    ),
    "Apache-2.0",
    "Mozilla, FxEmojis",
    "bold",
)
FLUENT_FLAT = Style(
    "fluent-flat",
    Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    "MIT",
    "Microsoft, Fluent Emoji",
    "flat",
)
FLUENT_GRADIENT = Style(
    "fluent-grad",
    Package(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
    ),
    "MIT",
    "Microsoft, Fluent Emoji",
    "gradient",
)
FLUENT_3D = Style(
    "fluent-3d",
    Package(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    ),
    "MIT",
    "Microsoft, Fluent Emoji (packed by LobeHub)",
    "3d",
    bitmaps="assets",
    # The package adds 245 waving flags and 96 couples and families that Microsoft's set lacks; their origin is not shown.
    within="fluent-flat",
)
TWEMOJI = Style(
    "twemoji",
    Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
    "CC-BY-4.0",
    "Twitter, Inc and other contributors (Twemoji)",
    "simple",
)
EMOJITWO = Style(
    "emojitwo",
    Package(
        "@iconify-json/emojione",
        "1.2.3",
        "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
    ),
    "CC-BY-4.0",
    "EmojiTwo, EmojiOne 2.3",
    "classic",
)
STREAMLINE = Style(
    "streamline",
    Package(
        "@iconify-json/streamline-emojis",
        "1.2.4",
        "sha512-iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPdI81yeG4ROqjWpYJE6A==",
    ),
    "CC-BY-4.0",
    "Streamline Emojis",
    "outline",
)

# The order of the pictures in the built data set.
STYLES = (NOTO, NOTO_V1, FXEMOJI, FLUENT_FLAT, FLUENT_GRADIENT, FLUENT_3D, TWEMOJI, EMOJITWO, STREAMLINE)

WORDS = {style.key: style.word for style in STYLES}
