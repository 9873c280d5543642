from pathlib import Path

from fewstep.bundle import Bundle
from fewstep_quantization.calibration.texts import broad_texts
from fewstep_quantization.pictures import Source


def test_texts_are_of_the_vocabulary_fit_and_are_the_same_again(own_bundle: Path) -> None:
    (tokenizer,) = Source(Bundle.open(own_bundle)).tokenizers()
    texts = broad_texts([tokenizer], ["3d", "flat"], 10)
    assert texts == broad_texts([tokenizer], ["3d", "flat"], 10) and 0 < len(texts) <= 10
    pieces = set(tokenizer.pieces())
    for text in texts:
        words = text.split(",")[0].split()
        assert len(words) == 2 and pieces.issuperset(words)
        assert len(tokenizer.encode([text])["input_ids"]) == 1
    assert broad_texts([], ["3d"]) == ()
