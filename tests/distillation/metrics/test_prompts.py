import pytest

from fewstep.errors import FewstepError
from fewstep_distillation.data.dataset import EmojiDataset
from fewstep_distillation.metrics.features import ImageFeatures
from fewstep_distillation.metrics.prompts import EvaluateConfig, choose_rows
from fewstep_distillation.metrics.references import References


@pytest.fixture(scope="module")
def references(dataset: EmojiDataset, image_features: ImageFeatures) -> References:
    return References.of(dataset, image_features)


def splits(references: References, config: EvaluateConfig) -> list[str]:
    return [references.rows[i].split for i in choose_rows(references, config)]


def test_shares_of_the_splits(references: References) -> None:
    found = splits(references, EvaluateConfig(n=10))
    assert [found.count(name) for name in ("compose", "zero", "train")] == [3, 2, 5]


def test_training_rows_fill_up_what_held_out_splits_lack(references: References) -> None:
    found = splits(references, EvaluateConfig(n=25))
    assert [found.count(name) for name in ("compose", "zero", "train")] == [3, 5, 17]


def test_rows_are_distinct_and_fixed_by_the_seed(references: References) -> None:
    first, again, other = (choose_rows(references, EvaluateConfig(n=12, seed=s)).tolist() for s in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 12


def test_one_split_alone(references: References) -> None:
    assert set(splits(references, EvaluateConfig(n=6, split="zero"))) == {"zero"}


def test_bad_input(references: References) -> None:
    with pytest.raises(FewstepError, match="at most 3 pictures for the split 'compose'"):
        choose_rows(references, EvaluateConfig(n=6, split="compose"))
    with pytest.raises(FewstepError, match="at least 2 pictures"):
        EvaluateConfig(n=1)
    with pytest.raises(FewstepError, match="one of the splits"):
        EvaluateConfig(split="test")  # type: ignore[arg-type]
