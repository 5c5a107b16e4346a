"""No crate may need a newer Rust than it claims, itself or through what it builds with.

Reads `cargo metadata` from standard input.
"""

import json
import sys


def version(text):
    return tuple(int(part) for part in text.split(".")[:2])


metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}


def built_with(root):
    """What a normal build of `root` compiles: no development dependencies."""
    seen, rest = set(), [root]
    while rest:
        here = rest.pop()
        if here in seen:
            continue
        seen.add(here)
        for dependency in nodes[here]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                rest.append(dependency["pkg"])
    return seen


failed = False
for root in metadata["workspace_members"]:
    claim = packages[root]["rust_version"]
    needs = {}
    for package in built_with(root):
        if rust := packages[package]["rust_version"]:
            needs[packages[package]["name"]] = rust
    newest = max(needs, key=lambda name: version(needs[name]))
    verdict = "ok" if version(needs[newest]) <= version(claim) else "TOO NEW"
    failed |= verdict != "ok"
    print(f"{packages[root]['name']:22} claims {claim}, needs {needs[newest]} ({newest}): {verdict}")
sys.exit(failed)
