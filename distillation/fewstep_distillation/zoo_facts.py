"""What the zoo's model.json says besides sizes: prompt words, examples and licences of the training art."""

from fewstep_distillation.data.styles import STYLES as ART

STYLES = tuple(dict.fromkeys(style.word for style in ART))

EXAMPLES = (
    "red heart",
    "pizza",
    "rocket",
    "cat face",
    "blue car",
    "tropical fish",
    "mushroom",
    "guitar",
    "snowman",
    "wrapped gift",
    "crown",
    "hot beverage",
    "dragon",
    "strawberry",
    "robot",
    "sunflower",
)

_TEXT_ENCODER = {
    "what": "text encoder all-MiniLM-L6-v2",
    "licence": "Apache-2.0",
    "credit": "sentence-transformers; Microsoft (MiniLM)",
}
LICENCES = (
    *(
        {"what": f"training art: {style.key}", "licence": style.licence, "credit": style.credit}
        for style in ART
    ),
    _TEXT_ENCODER,
)
