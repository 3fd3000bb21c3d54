"""List the rows of the zoo: the parts of each model, its source, and the test that holds it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ...io.errors import ConfigError
from . import about, names, settings

AXES = ("vocabularies", "views", "connector", "arrange", "fusion", "positions", "language_model", "reference")
LEVELS = ("equal", "transcribed", "shape")
LEVEL_MEANS = {
    "equal": "logits and greedy tokens equal those of a class of transformers, and its folder converts",
    "transcribed": "logits and greedy tokens equal those of the authors' public code, which the tests write again",
    "shape": "it builds, runs, trains and saves; parts are compared with transformers where it has them",
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


def format_table(found: list[dict[str, Any]]) -> str:
    """Write rows as a table for a terminal."""
    keys = ("name", "vocabularies", "views", "connector", "fusion", "language_model", "level", "reference")
    lines = [keys, *(tuple(str(row[key]) for key in keys) for row in found)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(keys))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def markdown() -> str:
    """Write docs/family.md."""
    text = """# The family: every model of the zoo

This page is generated from `vary/models/zoo/*.yaml` (`python -m vary.models.zoo.listing` writes it).
`vary family` prints the table, `vary info NAME` one model. The column `row` is the number of the system in our list of
systems; several of our own models share one.

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
    return text + "\nWhat differs from the authors' model:\n\n" + "\n".join(notes) + "\n"


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
    name = found.get("fusion", {"name": "prefix"})["name"]
    return name + routes + (", prefix mask" if found.get("mask") == "prefix" else "")


def _positions(found: dict[str, Any]) -> str:
    rule = found.get("positions", {"name": "plain"})
    return f"{rule['name']} from {rule['first']}" if "first" in rule else rule["name"]


def _language(text: dict[str, Any]) -> str:
    width = next(text[key] for key in ("hidden_size", "d_model", "embed_dim") if key in text)
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
