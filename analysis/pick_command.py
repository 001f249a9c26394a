"""``prunefront pick``: which network to ship, its recipe, why, what its neighbours trade, where its artefact lies."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import chance, confirmed, constraints, knobs, table
from analysis.choice import Aim, Choice, Within, choose, said
from analysis.constraints import Constraint
from analysis.errors import WrongInput, about
from analysis.front_table import human
from analysis.schema import ARTEFACTS, DENSE, MEASURES, measure
from analysis.summary import chosen_objectives, shared_constraints

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["print_picks"]

NAMES = tuple(column.name for column in MEASURES)

Row = Mapping[str, Any]


def print_picks(
    studies: Sequence[Path],
    *,
    lowest: Sequence[str],
    highest: Sequence[str],
    knee: bool,
    least: Sequence[str],
    most: Sequence[str],
    within: Sequence[str],
    objectives: str,
    as_json: bool,
) -> None:
    """Print one network for each aim, in the order: each of ``lowest``, each of ``highest``, the knee.

    ``least``, ``most`` and ``within`` are bounds as typed, MEASURE=NUMBER; all of them hold for every aim. What is
    traded for what are the measures in ``objectives``, joined by commas; else those of the bounds and of the aim, where
    they are two or more; else what the studies were searched for, and the aim's.
    """
    aims = _aims(lowest, highest, knee=knee)
    bounds = [
        *(_bound(each, ">=", option="--min") for each in least),
        *(_bound(each, "<=", option="--max") for each in most),
    ]
    near = [_within(each) for each in within]
    rows = table.read(*studies)
    if len(rows) == 0:
        raise WrongInput(f"{_listed(studies)} has no rows yet: there is nothing to pick from")
    folders = dict(zip(table.labels(studies), studies, strict=True))
    demanded = shared_constraints(studies)
    named = [*(each.measure for each in bounds), *(each.measure for each in near)]
    traded = [_traded(studies, objectives, named, aim) for aim in aims]
    with about(studies):
        picked = [
            choose(rows, aim, objectives=names, bounds=[*demanded, *bounds], within=near)
            for aim, names in zip(aims, traded, strict=True)
        ]
    told = [_told(choice, folders) for choice in picked]
    why = said([*demanded, *bounds], near)
    if as_json:
        document = {
            "studies": [str(study) for study in studies],
            "bounds": {each.measure: each.written for each in (*demanded, *bounds)},
            "within": {each.measure: each.loss for each in near},
            "picks": told,
        }
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    else:
        texts = [_text(choice, each, why=why, many=len(studies) > 1) for choice, each in zip(picked, told, strict=True)]
        sys.stdout.write("\n\n".join(texts) + "\n")


def _aims(lowest: Sequence[str], highest: Sequence[str], *, knee: bool) -> list[Aim]:
    aims = []
    for option, names, better in (("lowest", lowest, "lower"), ("highest", highest, "higher")):
        for name in names:
            try:
                column = measure(name)
            except WrongInput as error:
                raise WrongInput(f"{error} (--{option})") from error
            if column.better != better:
                other = {"lowest": "highest", "highest": "lowest"}[option]
                raise WrongInput(f"{name} is better when it is {column.better}: say --{other} {name} (--{option})")
            aims.append(Aim("lowest" if option == "lowest" else "highest", name))
    if knee:
        aims.append(Aim("knee"))
    if not aims:
        raise WrongInput("say what to pick by: --lowest MEASURE, --highest MEASURE or --knee, such as --lowest macs")
    return list(dict.fromkeys(aims))


def _bound(typed: str, relation: str, *, option: str) -> Constraint:
    name, number = _parted(typed, option=option)
    return constraints.bound(name, number, relation=relation, where=option, accepted=NAMES)


def _within(typed: str) -> Within:
    name, number = _parted(typed, option="--within")
    return Within(name, constraints.bound(name, number, relation="<=", where="--within", accepted=NAMES).bound)


def _parted(typed: str, *, option: str) -> tuple[str, str]:
    name, equals, number = (part.strip() for part in typed.partition("="))
    if not (name and equals and number):
        raise WrongInput(f"{option} takes MEASURE=NUMBER, such as val_accuracy=.01, got {typed!r:.60}")
    return name, number


def _traded(studies: Sequence[Path], typed: str, named: Iterable[str], aim: Aim) -> tuple[str, ...]:
    """The objectives: as typed, else those that bounds and aim name, else the studies' own."""
    own = [aim.measure] if aim.measure else []
    found = list(dict.fromkeys([*named, *own]))
    if not typed and len(found) > 1:
        return tuple(found)
    return tuple(dict.fromkeys([*chosen_objectives(studies, typed), *own]))


def _told(choice: Choice, folders: Mapping[str, Path]) -> dict[str, Any]:
    """A choice ready for JSON."""
    (row,) = choice.network.to_pylist()
    study = _folder(row, folders)
    artefact = study / ARTEFACTS / row["trial"]
    return {
        "aim": str(choice.aim),
        "study": str(study),
        "trial": row["trial"],
        "among": choice.among,
        "objectives": {name: row[name] for name in choice.objectives},
        "measures": {name: row[name] for name in NAMES if _is_number(row.get(name))},
        "recipe": _recipe(choice.network, row),
        "front": choice.front,
        "next": {
            name: None if other is None else _neighbour(choice, row, other, folders) for name, other in choice.next
        },
        "tested": _tested(study, row["trial"], choice.objectives),
        "artefact": str(artefact) if artefact.is_dir() else None,
    }


def _recipe(network: pa.Table, row: Row) -> dict[str, Any] | None:
    """What `prunefront trial` takes; None for the dense network, which nothing was done to."""
    if row["method"] == DENSE:
        return None
    return {name: row[name] for name in knobs.names(network) if row[name] is not None and row[name] != ""}


def _folder(row: Row, folders: Mapping[str, Path]) -> Path:
    return next(iter(folders.values())) if len(folders) == 1 else folders[row["study"]]


def _neighbour(choice: Choice, row: Row, other: pa.Table, folders: Mapping[str, Path]) -> dict[str, Any]:
    (found,) = other.to_pylist()
    return {
        "study": str(_folder(found, folders)),
        "trial": found["trial"],
        "method": found["method"],
        "ratio": found["ratio"],
        "objectives": {name: found[name] for name in choice.objectives},
        "change": {name: found[name] - row[name] for name in choice.objectives},
    }


def _tested(study: Path, trial: str, objectives: Sequence[str]) -> dict[str, Any] | None:
    """The confirmed accuracy of a trial and its chance of being on the front; None where it was not confirmed."""
    if not (study / confirmed.PARQUET).exists():
        return None
    lines = confirmed.read(study)
    names = list(dict.fromkeys(["val_accuracy", *objectives]))
    found = [each for each in chance.results(lines, names) if each.trial == trial]
    if not found:
        return None
    (own,) = found
    return {
        "seeds": own.seeds,
        "means": dict(zip(own.measures, own.means, strict=True)),
        "stds": None if own.stds is None else dict(zip(own.measures, own.stds, strict=True)),
        "chance": own.chance,
    }


def _text(choice: Choice, told: Mapping[str, Any], *, why: str, many: bool) -> str:
    import yaml

    (row,) = choice.network.to_pylist()
    networks = "the one network" if choice.among == 1 else f"the {choice.among} networks"
    among = f"{networks} with {why}" if why else networks
    best = (
        f"the knee of the front of {', '.join(choice.objectives)} among {among}"
        if choice.aim.kind == "knee"
        else f"the {choice.aim} of {among}"
    )
    lines = [
        f"{_called(row, many=many)}: {best}",
        "  " + ", ".join(f"{name} {human(name, row[name])}" for name in choice.objectives),
    ]
    if choice.aim.kind == "knee":
        lines.append(
            "  the knee lies farthest beyond the plane through the front's ends, each objective scaled to its range on "
            "the front [Das 1999]"
        )
    if told["recipe"] is None:
        lines.append("recipe: none, this is the dense network: no pruned one meets the bounds and is better")
    else:
        lines.append(f"recipe (prunefront trial RECIPE.yaml --study {told['study']}):")
        written = yaml.safe_dump(told["recipe"], sort_keys=False, allow_unicode=True)
        lines += ["  " + line for line in written.splitlines()]
    lines.append(f"a little more of each objective (the {choice.front} networks on the front of these):")
    lines += [_step(choice, row, name, other, many=many) for name, other in choice.next]
    lines.append(_test_line(told, row))
    lines.append(f"artefact: {told['artefact'] or 'none was made yet'}")
    return "\n".join(lines)


def _step(choice: Choice, row: Row, name: str, other: pa.Table | None, *, many: bool) -> str:
    if other is None:
        return f"  {name}: none on the front is better"
    (found,) = other.to_pylist()
    price = ", ".join(
        f"{each} {human(each, found[each])} ({_change(each, row[each], found[each])})"
        for each in choice.objectives
        if each != name
    )
    gain = f"  {name} {human(name, found[name])} ({_change(name, row[name], found[name])})"
    return f"{gain}: {price}; {_called(found, many=many)}" if price else f"{gain}: {_called(found, many=many)}"


def _called(row: Row, *, many: bool) -> str:
    ratio = "" if row["ratio"] is None else f" ratio {human('ratio', row['ratio'])}"
    study = f"{row['study']} " if many else ""
    return f"{study}{row['trial']} ({row['method']}{ratio})"


def _change(name: str, before: float, after: float) -> str:
    """How much a measure differs: a share by its difference, everything else in percent of what it was.

    >>> _change("val_accuracy", 0.91, 0.9034), _change("macs", 200, 230), _change("macs", 200, 200)
    ('−0.0066', '+15 %', 'the same')
    """
    if before == after:
        return "the same"
    by_share = measure(name).unit == "" and measure(name).kind == "float"
    change = f"{after - before:+.4f}" if by_share or before <= 0 else f"{100 * (after / before - 1):+.3g} %"
    return change.replace("-", "−")


def _test_line(told: Mapping[str, Any], row: Row) -> str:
    tested = told["tested"]
    if tested is None:
        return (
            f"test: not confirmed; val_accuracy was selected for: `prunefront confirm {told['study']} "
            f"--trials {row['trial']}`"
        )
    mean, stds = tested["means"]["test_accuracy"], tested["stds"]
    spread = "" if stds is None else f" ± {stds['test_accuracy']:.4f}"
    seeds = "1 seed" if tested["seeds"] == 1 else f"{tested['seeds']} seeds"
    on_front = "" if tested["chance"] is None else f"; {chance.LAW} ({tested['chance']:.2f})"
    return f"test: test_accuracy {mean:.4f}{spread} over {seeds}{on_front}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _listed(studies: Sequence[Path]) -> str:
    return ", ".join(map(str, studies))
