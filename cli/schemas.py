"""Writes the JSON Schemas of the events."""

from pathlib import Path

import msgspec

from shared.domain.wire import event_schemas


def schema_texts() -> dict[str, str]:
    """File name to content, one file per event type."""
    return {
        f"{name}.json": msgspec.json.format(msgspec.json.encode(schema, order="deterministic"), indent=2).decode()
        + "\n"
        for name, schema in event_schemas().items()
    }


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema and remove files of events that are gone; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = schema_texts()
    for stale in folder.glob("*.json"):
        if stale.name not in texts:
            stale.unlink()
    files = []
    for name, text in texts.items():
        file = folder / name
        file.write_text(text, encoding="utf-8")
        files.append(file)
    return files
