"""Who judges whole sets of pictures: functions of other rooms, through the entry-point group `fewstep.judges`.

Such a function takes N prompts, the reference's pictures of them, the reference's pictures from other noise, and the build's
pictures on the first noise, and gives figures by name.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points

from fewstep.errors import FewstepError
from fewstep.gate import Judgement
from fewstep_quantization.pictures import Pictures

GROUP = "fewstep.judges"
Judge = Callable[[Sequence[str], Pictures, Pictures, Pictures], Mapping[str, Judgement]]


def installed_judge() -> Judge:
    """All judges together as one.

    Raises:
        FewstepError: none is installed whole.
    """
    found: list[Judge] = []
    for entry in entry_points(group=GROUP):
        try:
            found.append(entry.load())
        except ImportError as error:
            raise FewstepError(
                f"expected the package {error.name} for --judge, found none; install fewstep[evaluate]"
            ) from None
    if not found:
        raise FewstepError("expected a judge of pictures for --judge, found none; install fewstep[evaluate]")

    def judge(
        prompts: Sequence[str], reference: Pictures, other_noise: Pictures, build: Pictures
    ) -> Mapping[str, Judgement]:
        results = (each(prompts, reference, other_noise, build) for each in found)
        return {name: judgement for result in results for name, judgement in result.items()}

    return judge
