"""What can be known to be wrong before anything is started or written: methods, loggers, and what lies elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from analysis.errors import WrongInput
from methods.core.method import Method
from search.loggers import check_installed
from search.machines import at, here
from search.ranges import Among, Wholes
from search.reach import check_accepted
from search.resources import Machine, Share, check_room
from search.space import Group
from search.spec import Spec
from search.storage import check_reachable
from search.warm_start import Other, others
from trial.data import Splits
from trial.networks import build, check_fits

__all__ = ["check_beforehand", "check_methods", "room_for"]


def check_beforehand(spec: Spec, splits: Splits, *, study: Path, address: str | None) -> list[Other]:
    """Raise WrongInput for what no run of the spec could do; the studies of ``search.warm_start``, read.

    ``study`` is the search's folder, which need not be there; ``address`` that of a Ray cluster, None for this machine.
    """
    check_methods(spec, splits)
    check_installed(spec.search.loggers)
    if address is not None and address != "auto":  # where auto leads, Ray alone knows
        check_accepted(address)
    room_for(spec, address=address)
    if spec.search.storage is not None:
        check_reachable(spec.search.storage, study=study, where="search.storage")
    return others(spec, study=study, fingerprint=splits.fingerprint)


def room_for(spec: Spec, *, address: str | None) -> tuple[list[Machine], Share]:
    """The machines that a run would use, and what each trial holds there; raises WrongInput where it finds no room."""
    machines = [here(spec.resources, workers=spec.workers)] if address is None else at(address)
    share = spec.resources.share(machines, workers=spec.workers_here if address is None else spec.workers)
    check_room(machines, share, place=f"at {address}" if address else "here")
    return machines, share


def check_methods(spec: Spec, splits: Splits) -> None:
    """Raise WrongInput where the network cannot be built or takes no such images, or a method cannot work on them."""
    network = build(spec.network, classes=len(splits.classes), seed=spec.seed)
    check_fits(
        network,
        image=splits.train.images.shape[1:],
        classes=len(splits.classes),
        called=spec.network.called,
    )
    space = spec.space
    for name, group in space.methods.options.items():
        place = f"search.methods.{name}"
        for tried in _examples(space.example(name), group):
            refusal = tried.refusal(network)
            if refusal:
                cure = f"leave {name} out, or take another network ({place})"
                raise WrongInput(f"{refusal} ({place}.spare)" if "spare" in refusal else f"{refusal}: {cure}")
            if tried.images_read > len(splits.train):
                raise WrongInput(
                    f"{name} is to read {tried.images_read} images, and the training part has {len(splits.train)} "
                    f"({place}.images)"
                )


def _examples(example: Method, group: Group) -> Iterator[Method]:
    """A method with each of the layers to spare, and with the most of the images, that a search tries."""
    spares = group.knobs.get("spare")
    yield from (replace(example, spare=str(each)) for each in (spares.values if isinstance(spares, Among) else ()))
    images = group.knobs.get("images")
    if isinstance(images, Among | Wholes):
        example = replace(example, images=images.at(images.size - 1))  # type: ignore[call-arg]
    yield example
