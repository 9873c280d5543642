from fewstep_distillation.metrics.copy_rate import CopyRate
from fewstep_distillation.metrics.evaluate import Figures, Report
from fewstep_distillation.metrics.kernel_distance import KernelDistance
from fewstep_distillation.metrics.prompts import EvaluateConfig
from fewstep_distillation.metrics.retrieval import Retrieval
from fewstep_distillation.metrics.summary import summary


def figures(r1: float, names: tuple[str, str]) -> Figures:
    found = Retrieval(4, 10, r1, 0.5, 0.75, 2.0, 0.625)
    kernel = {name: KernelDistance(0.003, 0.001, 50, 4) for name in names}
    copies = {"compose": CopyRate(4, r1 / 2, 0.0, 0.5)}
    return Figures(4, dict.fromkeys(names, 12.5), kernel, {"all": found}, found, copies)


def test_every_figure_stands_beside_that_of_real_pictures() -> None:
    report = Report(
        EvaluateConfig(4),
        {"name": "tiny", "guidance": 3.0},
        {},
        figures(0.25, ("train", "held_out")),
        figures(0.5, ("train", "halves")),
    )
    lines = summary(report).splitlines()
    assert lines[0].startswith("name tiny, guidance 3.0; 4 pictures, seed 0")
    assert "to train 12.50" in lines[1]
    assert "to held_out 3.00 [held-out to train 3.00, halves 3.00]" in lines[2]
    assert "R@1 0.250 [0.500]" in lines[3]
    assert "R@1 0.250 [same glyph in another style: 0.500]" in lines[4]
    assert "0.125 [0.250] are nearer to training" in lines[5]
