"""The mark of a merge: while it lies beside the layer that is merged down, what it is merged into is neither old nor new.

QEMU writes into the base while the guest runs on the top. Should it die in the middle, only the view through the top is
whole; the base alone would be read, booted or copied as something that never was. So the mark is on disk before the
first byte goes down, and is removed when nobody uses the top any more.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from hypervisor.port import Images
from stillframe.errors import HypervisorFailed

_END = ".merging.json"


@dataclass(frozen=True)
class Mark:
    """What one merge writes into `base`. `whole`: the base holds all of it, and the VM writes to nothing above it.

    `down`: all of it was brought down, and the VM is about to stand on the base. Without it, a VM that is found there
    was put there by somebody else, and the base may lack what only the top has.
    """

    base: str
    top: str
    job: str
    whole: bool = False
    down: bool = False


def path_of(top: str) -> str:
    """The mark of the merge that ends with `top`: beside it, for a layer's name is never used twice."""
    return f"{top}{_END}"


def write(images: Images, mark: Mark) -> None:
    """Puts a mark on disk, durably."""
    images.write_text(path_of(mark.top), json.dumps(asdict(mark)))


def read(images: Images, top: str) -> Mark | None:
    """The mark of the merge that ends with `top`, or None. Raises HypervisorFailed if it cannot be understood."""
    return _read(images, path_of(top))


def say_down(images: Images, top: str, down: bool) -> None:
    """Whether all that this merge moves is in its base, as far as its top is not written to again."""
    mark = read(images, top)
    if mark and mark.down != down:
        write(images, replace(mark, down=down))


def say_down_now(images: Images, top: str) -> None:
    """All that this merge moves is in its base, as of this moment: the time of the mark counts."""
    if mark := read(images, top):
        write(images, replace(mark, down=True))


def complete(images: Images, tops: Iterable[str]) -> None:
    """The base of these holds all that they hold: it is whole without them, also where an earlier merge was stopped."""
    for top in tops:
        mark = read(images, top)
        if mark and not mark.whole:
            write(images, replace(mark, whole=True))


def remove(images: Images, top: str) -> None:
    """Nobody uses `top` any more."""
    if images.exists(path_of(top)):
        images.remove(path_of(top))


def unfinished(images: Images, homes: Iterable[str]) -> tuple[Mark, ...]:
    """Of all merges in these homes those that are not over: their bases are whole only with their tops on them."""
    paths = [path for home in homes for path in images.listing(home) if path.endswith(_END)]
    found = [mark for path in paths if (mark := _read(images, path))]
    return tuple(mark for mark in found if not mark.whole and images.exists(mark.top))


def _read(images: Images, path: str) -> Mark | None:
    text = images.read_text(path)
    if text is None:
        return None
    try:
        return Mark(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise HypervisorFailed(detail=f"{path} is no mark of a merge: {error!r}") from error
