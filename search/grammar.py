"""How a spec says what is tried for one knob.

One value, a list, ``{uniform: [low, high]}`` perhaps with a ``step``, ``{log: [low, high]}``, or ``any``, which is
the range that the knob's own type declares. What lies outside that range is refused.
"""

from __future__ import annotations

from typing import Any

from analysis.errors import WrongInput, nearest
from methods.core.knobs import Choice, Knob, Log, Names, Options, Uniform, Value, Whole
from search.ranges import Among, AmongNames, Searched, Steps, Stretch, Wholes, tidy

__all__ = ["ANY", "SCALES", "declared", "parse"]

ANY = "any"
SCALES = ("uniform", "log")
"""A mapping with one of these keys is a range; ``uniform`` may have a ``step``."""
SMALLEST = 1e-12
"""No step is smaller, whatever its range."""
FINEST = 1e-6
"""Of a range: no step is smaller, and an end that does not belong to its range is moved in by so much."""


def declared(knob: Knob) -> Searched:
    """The whole range that the knob's type declares, as it is searched: on its grid or in its steps."""
    match knob.range:
        case Choice(values):
            return Among(values)
        case Names():
            return AmongNames(("",))
        case Uniform(grid=grid) | Log(grid=grid) | Whole(grid=grid) if grid:
            return Among(grid)
        case Whole(low, high):
            return Wholes(low, high)
        case Log(low, high):
            return Stretch(low, high, log=True)
        case Uniform(low, high, step) if step is not None:
            return Steps(*_inside(knob.range, low, high, step=step), step)
        case Uniform(low, high):
            return Stretch(*_inside(knob.range, low, high, step=None))
        case Options():
            raise TypeError(f"{knob.name} has options: it is a branch of the space, not a range")
    raise TypeError(f"{knob.name}: no search is known for {knob.range!r}")


def parse(knob: Knob, given: object, *, where: str) -> Searched:
    """Read what a spec says of a knob; raises WrongInput for what lies outside the knob's declared range."""
    if given == ANY:
        return declared(knob)
    if isinstance(given, dict):
        return _between(knob, given, where=where)
    values = given if isinstance(given, list) else [given]
    if isinstance(knob.range, Names) and isinstance(given, list) and not any(isinstance(v, list) for v in given):
        values = [values]  # one list of names is one value; a list of lists holds several
    if not values:
        raise WrongInput(f"{knob.name} needs at least one value of {knob.range}, got an empty list ({where})")
    accepted = [_accepted(knob, value, where=where) for value in values]
    distinct = [value for place, value in enumerate(accepted) if value not in accepted[:place]]
    if isinstance(knob.range, Names):
        return AmongNames(tuple(distinct))
    is_numeric = all(isinstance(value, int | float) for value in distinct)
    return Among(tuple(sorted(distinct)) if is_numeric else tuple(distinct))


def _accepted(knob: Knob, value: object, *, where: str) -> Value:
    if value is None:
        raise WrongInput(f"{knob.name} has no value: {knob.range}, or any for the whole range ({where})")
    assert not isinstance(knob.range, Options), "a branch of the space is read as one"
    try:
        return knob.range.accept(value)
    except ValueError as error:
        raise WrongInput(f"{knob.name} {error} ({where})") from None


def _between(knob: Knob, given: dict[Any, Any], *, where: str) -> Searched:
    """``{uniform: [low, high]}``, perhaps with a step, or ``{log: [low, high]}``."""
    if isinstance(knob.range, Choice):
        raise WrongInput(f"{knob.name} is one of {knob.range}, got {given!r} ({where})")
    if isinstance(knob.range, Names):
        raise WrongInput(f"{knob.name} is {knob.range}, got {given!r} ({where})")
    for key in given:
        if key not in (*SCALES, "step"):
            raise WrongInput(f"{key!r} is not a range: {nearest(str(key), [*SCALES, 'step'])} ({where}.{key})")
    scales = [key for key in given if key != "step"]
    if len(scales) != 1:
        raise WrongInput(f"{knob.name} needs one of uniform and log, got {', '.join(scales) or 'neither'} ({where})")
    scale = scales[0]
    place = f"{where}.{scale}"
    ends = given[scale]
    if not isinstance(ends, list) or len(ends) != 2:
        raise WrongInput(f"{scale} takes two ends, [low, high], got {ends!r} ({place})")
    low, high = (_end(knob, end, where=place) for end in ends)
    if low >= high:
        raise WrongInput(f"{scale} goes from a lower to a higher end, got {ends!r} ({place})")
    if scale == "log" and low <= 0:
        raise WrongInput(f"a log range starts above 0, got {ends!r} ({place})")
    step = given.get("step")
    if isinstance(knob.range, Whole):
        if scale == "log" or step is not None:
            raise WrongInput(f"{knob.name} is a whole number: accepted is {{uniform: [low, high]}} ({where})")
        return Wholes(int(low), int(high))
    if scale == "log":
        if step is not None:
            raise WrongInput(f"step belongs to uniform: a log range has none, got {step!r} ({where}.step)")
        return Stretch(low, high, log=True)
    if isinstance(knob.range, Uniform):
        # The declared step, unless there is too little room for one.
        own = knob.range.step
        step = own if step is None and own is not None and own <= high - low else step
    if step is None:
        return Stretch(*_inside(knob.range, low, high, step=None))
    finest = max(FINEST * (high - low), SMALLEST)
    if isinstance(step, bool) or not isinstance(step, int | float) or not finest <= step <= high - low:
        raise WrongInput(f"step must lie in [{finest:g}, {high - low:g}], got {step!r} ({where}.step)")
    return Steps(*_inside(knob.range, low, high, step=float(step)), float(step))


def _end(knob: Knob, end: object, *, where: str) -> float:
    # The ends of an open range are not in it, and still say where it ends.
    if isinstance(knob.range, Uniform) and end in (knob.range.low, knob.range.high) and not isinstance(end, bool):
        return float(str(end))
    return float(_accepted(knob, end, where=where))


def _inside(declared: object, low: float, high: float, *, step: float | None) -> tuple[float, float]:
    """The ends, moved in by a step where the declared range is open and they are its ends."""
    if not isinstance(declared, Uniform) or not declared.exclusive:
        return low, high
    inset = FINEST * (declared.high - declared.low) if step is None else step
    return (
        tidy(low + inset) if low == declared.low else low,
        tidy(high - inset) if high == declared.high else high,
    )
