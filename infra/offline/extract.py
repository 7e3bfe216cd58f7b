"""Writes google.json anew: the provider's schema for the resources that infra/ uses, out of a published package.

    python infra/offline/extract.py FOLDER        # the unpacked wheel of cdktf-cdktf-provider-google 16.12.1

The package holds one Python module per resource, generated from the schema of hashicorp/google 6.50.0. It is read, not run:
arguments without a default are required, quoted class names are nested blocks, a list of them may repeat, and properties that are
no arguments are computed.
"""

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
META: Final = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners", "timeouts"}
# What the package does not tell.
SENSITIVE: Final = {"auth_string", "secret_data", "secret_data_wo"}
WRITE_ONLY: Final = {"secret_data_wo"}
_TYPES: Final = (
    (r"Sequence\[builtins\.str\]", "list(string)"),
    (r"Sequence\[jsii\.Number\]", "list(number)"),
    (r"Mapping\[builtins\.str, builtins\.str\]", "map(string)"),
    (r"builtins\.bool", "bool"),
    (r"jsii\.Number", "number"),
    (r"builtins\.str", "string"),
)


def used_types() -> list[str]:
    """Every google_… resource and data source that infra/ names, as the package names its modules."""
    found = set()
    for file in HERE.parent.rglob("*.tf"):
        for kind, name in re.findall(
            r'^(resource|data) "google_(\w+)"', file.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found.add(f"data_google_{name}" if kind == "data" else name)
    return sorted(found)


def schema_of(package: Path, module: str) -> dict[str, Any]:
    """Attributes and blocks of one resource."""
    tree = ast.parse((package / module / "__init__.py").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    main = next(
        node
        for node in classes.values()
        if any(word in ast.unparse(node)[:400] for word in ("TerraformResource", "TerraformDataSource"))
    )
    block = _block(classes, main, META)
    for node in main.body:
        if (
            isinstance(node, ast.FunctionDef)
            and node.returns
            and any("property" in ast.unparse(item) for item in node.decorator_list)
        ):
            name, kind = node.name, _type(ast.unparse(node.returns))
            known = name in block["attributes"] or name in block["blocks"] or name in META
            if kind and not known and not name.endswith("_input") and name.lower() != "tf_resource_type":
                block["attributes"][name] = _words(name, kind, "computed")
    return block


def _block(classes: dict[str, ast.ClassDef], node: ast.ClassDef, skipped: set[str]) -> dict[str, Any]:
    start = next(item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__")
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for argument, default in zip(start.args.kwonlyargs, start.args.kw_defaults, strict=True):
        text = ast.unparse(argument.annotation) if argument.annotation else ""
        nested = next((name for name in classes if f"'{name}'" in text), None)
        if argument.arg in skipped:
            continue
        if nested is not None:
            many = "Sequence[" in text
            blocks[argument.arg] = {
                **_block(classes, classes[nested], set()),
                "required": default is None,
                "many": many,
            }
            continue
        attributes[argument.arg] = _words(argument.arg, _type(text), "required" if default is None else "optional")
    return {"attributes": attributes, "blocks": blocks}


def _words(name: str, kind: str, how: str) -> str:
    """E.g. "string required", "list(string) optional", "string computed sensitive"."""
    extra = [word for word, names in (("sensitive", SENSITIVE), ("write-only", WRITE_ONLY)) if name in names]
    return " ".join([kind, how, *extra])


def _type(text: str) -> str:
    return next((kind for pattern, kind in _TYPES if re.search(pattern, text)), "")


def main() -> None:
    """The command."""
    package = Path(sys.argv[1]) / "cdktf_cdktf_provider_google"
    schemas = {name: schema_of(package, name) for name in used_types()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(schema, sort_keys=True)}" for name, schema in schemas.items())
    (HERE / "google.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
