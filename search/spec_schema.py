"""A spec as JSON schema (draft 2020-12), for editors: keys are completed, misspelt ones underlined.

Derived from the spec's own model and from the methods' knobs. What has to be said stands apart from what may be said,
since a profile, and a spec that includes another, may leave out anything.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from analysis.schema import OBJECTIVES
from search.knob_schema import Json, methods_schema, needed_by_methods, recipe_schema
from search.sampler import SAMPLERS
from search.sources import INCLUDE, PROFILE, PROFILES
from search.spec import Spec
from trial import data, networks

__all__ = ["spec_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of names: editors show the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def spec_schema() -> Json:
    """The schema of a spec's file, includes and profiles too.

    It is no judge: `Spec.parse` also refuses what a schema cannot know, such as a step wider than its range.
    """
    model = Spec.model_json_schema(schema_generator=_Untitled)
    sections: dict[str, Json] = model["$defs"]
    needed = _needed(model, sections)
    needed["properties"]["search"]["properties"] = {"methods": needed_by_methods()}
    for section in (model, *sections.values()):
        section.pop("required", None)
        section.pop("title", None)
    _say_names(model["properties"], sections)
    part = {key: model[key] for key in ("type", "properties", "additionalProperties")}
    file = {"type": "string", "description": "a file beside this one, or the name of a ready spec"}
    further = {
        INCLUDE: {
            "anyOf": [file, {"type": "array", "items": file, "minItems": 1}],
            "description": "specs that this one is laid over: mappings key by key, all else replaced",
        },
        PROFILE: {"type": ["string", "null"], "description": "which of the profiles holds; as --set profile=NAME"},
        PROFILES: {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/Part"},
            "description": "overrides by name, of any setting",
        },
    }
    return {
        "$schema": DIALECT,
        "title": "prunefront spec",
        **part,
        "properties": {**part["properties"], **further},
        "if": {"not": {"required": [INCLUDE]}},
        "then": needed,
        "$defs": {**sections, "Part": part},
    }


def _needed(schema: Json, sections: dict[str, Json]) -> Json:
    """What a mapping has to say, and what those within it have to; what is filled in from a default has not."""
    required = schema.get("required", [])
    inside = {
        name: _needed(sections[reference.rpartition("/")[2]], sections)
        for name in required
        if (reference := schema["properties"][name].get("$ref", ""))
    }
    return {"required": required, "properties": {name: each for name, each in inside.items() if each}}


def _say_names(properties: dict[str, Json], sections: dict[str, Json]) -> None:
    """Put in what the model takes as any text and checks by itself: names, methods, and words for a section."""
    for name, accepted in (("network", networks.names()), ("data", data.names())):
        section = sections[properties[name]["$ref"].rpartition("/")[2]]["properties"]
        section["name"] = {**section["name"], "enum": [*accepted, None] if "default" in section["name"] else accepted}
        section["name"].pop("anyOf", None)
        properties[name] = {"anyOf": [{"enum": accepted}, properties[name]]}
    recovery = properties["recovery"]
    properties["recovery"] = {"anyOf": [{"const": "none"}, {"$ref": recovery.pop("$ref")}], **recovery}
    search = sections["Search"]["properties"]
    search["methods"] |= methods_schema(sections)
    search["recipe"] |= recipe_schema()
    search["objectives"]["items"] = {"enum": list(OBJECTIVES)}
    search["sampler"]["enum"] = list(SAMPLERS)
