"""List the rows of the zoo: the parts of each model, its source, and the test that holds it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from ...io.errors import ConfigError
from . import FOLDER, about, names, settings

AXES = ("vocabularies", "views", "connector", "arrange", "fusion", "positions", "language_model", "reference")
LEVELS = ("equal", "transcribed", "shape")
LEVEL_MEANS = {
    "equal": "logits and greedy tokens equal those of a class of transformers, and its folder converts",
    "transcribed": "logits and greedy tokens equal those of the authors' public code, which the tests reimplement",
    "shape": "it builds, runs, trains and saves; parts are compared with transformers where it has them",
}

STATE_MEANS = {
    "part": "its image tower can be a vocabulary of any model; `by` is its model type in transformers",
    "text": "it can be the language model of any model; `by` is its model type in transformers",
    "program": "it is code around models, in the file `by`",
    "missing": "not built; the reason says what it needs",
    "out": "not planned",
}


def rows(axis: str | None = None, level: str | None = None) -> list[dict[str, Any]]:
    """Return one mapping per model, sorted by an axis if one is given.

    Raises:
        ConfigError: The axis or the level is unknown.
    """
    if axis is not None and axis not in AXES:
        raise ConfigError(f"unknown axis {axis!r}; allowed: {', '.join(AXES)}")
    if level is not None and level not in LEVELS:
        raise ConfigError(f"unknown level {level!r}; allowed: {', '.join(LEVELS)}")
    found = [row for row in map(_row, names()) if level in (None, row["level"])]
    return sorted(found, key=lambda row: str(row[axis])) if axis else found


def systems() -> list[dict[str, Any]]:
    """Return one mapping per system of the list: `row`, `name`, `state`, `by` (models or a part) and `reason`.

    The state is the level of its models, or else `part`, `text`, `missing` or `out` (see `STATE_MEANS`).
    """
    by_row: dict[int, list[dict[str, Any]]] = {}
    for row in rows():
        if row["row"] is not None:
            by_row.setdefault(row["row"], []).append(row)
    found = [
        {
            "row": number,
            "name": models[0]["name"],
            "state": min((model["level"] for model in models), key=LEVELS.index),
            "by": ", ".join(model["name"] for model in models),
            "reason": next((model["note"] for model in models if model["note"]), ""),
        }
        for number, models in by_row.items()
    ]
    for other in yaml.safe_load((FOLDER / "systems.yaml").read_text(encoding="utf-8")):
        found.append({"by": other.pop("config", ""), **other})
    return sorted(found, key=lambda system: system["row"])


def format_systems(found: list[dict[str, Any]]) -> str:
    """Write all systems as a table for a terminal, with the number of each state."""
    counts = Counter(system["state"] for system in found)
    states = [*LEVELS, *STATE_MEANS]
    return f"{_columns(('row', 'name', 'state', 'by', 'reason'), found)}\n\n" + ", ".join(
        f"{counts[state]} {state}" for state in states
    )


def format_table(found: list[dict[str, Any]]) -> str:
    """Write rows as a table for a terminal."""
    keys = ("name", "vocabularies", "views", "connector", "fusion", "language_model", "level", "reference")
    return _columns(keys, found)


def _columns(keys: tuple[str, ...], found: list[dict[str, Any]]) -> str:
    lines = [keys, *(tuple(str(row[key]) for key in keys) for row in found)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(keys))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def markdown() -> str:
    """Write docs/family.md."""
    text = """# The family: every model of the zoo

This page is generated from `vary/models/zoo/*.yaml` (`python -m vary.models.zoo.listing` writes it).
`vary family` prints the table, `vary info NAME` one model. The column `row` is the number of the system in the list of
132 systems that `vary family --all` prints; several models of ours share one.

"""
    text += "\n".join(f"- `{level}`: {meaning}." for level, meaning in LEVEL_MEANS.items())
    text += "\n\n| name | row | vocabularies | views | connector | order of tokens | fusion | positions | "
    text += "language model | level | reference | source |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    for row in rows():
        cells = [f"`{row['name']}`", row["row"] or "–", *(row[axis] for axis in AXES[:-1])]
        cells += [row["level"], row["reference"] or row["code"] or "–", row["paper"] or "–"]
        text += f"| {' | '.join(map(str, cells))} |\n"
    notes = [f"- `{row['name']}`: {row['note']}." for row in rows() if row["note"]]
    text += "\nWhat differs from the authors' model:\n\n" + "\n".join(notes) + "\n"
    text += "\n## Systems without a model of their own\n\n`vary family --all` prints all 132 systems of the list.\n\n"
    text += "\n".join(f"- `{state}`: {meaning}." for state, meaning in STATE_MEANS.items())
    text += "\n\n| row | system | state | by | reason |\n|---|---|---|---|---|\n"
    for system in systems():
        if system["state"] in STATE_MEANS:
            by = f"`{system['by']}`" if system["by"] else "–"
            text += f"| {system['row']} | {system['name']} | {system['state']} | {by} | {system['reason'] or '–'} |\n"
    return text


def summary() -> str:
    """Write the table of the README: the models of each level by their vision vocabularies."""
    lines = ["| checked | vision vocabularies: models |", "|---|---|"]
    for level in LEVELS:
        kinds: dict[str, list[str]] = {}
        for row in rows(level=level):
            kinds.setdefault(re.sub(r" \d+", "", row["vocabularies"]), []).append(f"`{row['name']}`")
        lines.append(f"| {level} | {'; '.join(f'{vision}: ' + ', '.join(found) for vision, found in kinds.items())} |")
    return "\n".join(lines) + "\n"


def with_summary(readme: str) -> str:
    """Return the README with its table written anew, between its marks."""
    before, rest = readme.split("<!-- models -->\n")
    return f"{before}<!-- models -->\n{summary()}<!-- end of models -->{rest.partition('<!-- end of models -->')[2]}"


def _row(name: str) -> dict[str, Any]:
    found, facts = settings(name), about(name)
    connector = found["connector"]
    merge = f" ({found.get('merge', 'channel')})" if len(found["vocabularies"]) > 1 else ""
    steps = [_connector(c) for c in connector] if isinstance(connector, list) else [_connector(connector)]
    seen = [vocabulary for vocabulary in found["vocabularies"] if "preprocess" in vocabulary]
    return {
        "name": name,
        "row": facts.row,
        "vocabularies": ", ".join(map(_vocabulary, found["vocabularies"])) + merge,
        "views": next((v["preprocess"]["views"]["name"] for v in seen if v["preprocess"].get("views")), "one"),
        "connector": ", ".join(steps),
        "arrange": found.get("arrange", {"name": "plain"})["name"],
        "fusion": _fusion(found),
        "positions": _positions(found),
        "language_model": _language(found["text_config"]),
        "level": facts.level,
        "reference": facts.reference,
        "code": facts.code,
        "paper": facts.paper,
        "note": facts.note,
    }


def _fusion(found: dict[str, Any]) -> str:
    if found["text_config"]["model_type"] in ("t5", "mt5", "bart"):
        return "encoder-decoder"
    routes = "".join(f", {route['name']} for {route.get('tokens', 'image')}" for route in found.get("routes", []))
    readers = [*([found["regions"]] if found.get("regions") else []), *found.get("heads", [])]
    routes += "".join(f", {part['name']}" for part in readers)
    name = found.get("fusion", {"name": "prefix"})["name"]
    return name + routes + (", prefix mask" if found.get("mask") == "prefix" else "")


def _positions(found: dict[str, Any]) -> str:
    rule = found.get("positions", {"name": "plain"})
    return f"{rule['name']} from {rule['first']}" if "first" in rule else rule["name"]


def _language(text: dict[str, Any]) -> str:
    width = next(text[key] for key in ("hidden_size", "d_model", "embed_dim", "n_embd") if key in text)
    return f"{text['model_type'].removesuffix('_text').removesuffix('_text_model')} {width}"


def _vocabulary(vocabulary: dict[str, Any]) -> str:
    name = vocabulary.get("config", {}).get("model_type", vocabulary["name"]).removesuffix("_vision_model")
    size = vocabulary.get("preprocess", {}).get("size")
    return f"{name} {size}" if size else name


def _connector(connector: dict[str, Any]) -> str:
    if "steps" in connector:
        return " > ".join(map(_connector, connector["steps"])) or "none"
    if "branches" in connector:
        return " + ".join(f"({_connector({'steps': steps})})" for steps in connector["branches"])
    sizes = [str(connector[key]) for key in ("depth", "queries", "latents") if key in connector]
    return " ".join([connector["name"], *sizes])


if __name__ == "__main__":
    Path("docs/family.md").write_text(markdown(), encoding="utf-8")
    readme = Path("README.md")
    readme.write_text(with_summary(readme.read_text(encoding="utf-8")), encoding="utf-8")
