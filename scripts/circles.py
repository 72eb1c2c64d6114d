#!/usr/bin/env python3
"""Fails if source files import each other in a circle.

A module and everything below it count as one room. At each level of the module tree, the rooms beside
each other may import in one direction only. The window's TypeScript and Svelte files count one by one.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

PATH = re.compile(r"\b(crate|self|super)((?:::\s*[A-Za-z_]\w*)*)(::\s*\{)?")
COMMENT = re.compile(r"//[^\n]*|\"(?:\\.|[^\"\\])*\"")
IMPORT = re.compile(r"""(?:from|import)\s+["'](\.{1,2}/[^"']+|\$lib/[^"']+)["']""")


def tracked(pattern):
    listed = subprocess.run(["git", "ls-files", pattern], capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.splitlines() if Path(line).exists()]


def group(text, start):
    """The leaves of a `{a, b::{c, d}}` group that opens before `start`."""
    leaves, prefix, stack, word = [], [], [], ""
    for character in text[start:]:
        if character == "{":
            stack.append(len(prefix))
            prefix += [part for part in re.split(r"::", word) if part]
            word = ""
        elif character in ",}":
            if word.strip():
                leaves.append(prefix + [part for part in re.split(r"::", word) if part])
            word = ""
            if character == "}":
                if not stack:
                    return leaves
                del prefix[stack.pop() :]
        else:
            word += "" if character.isspace() else character
    return leaves


def paths(text):
    """Every path of a file that starts at `crate`, `self` or `super`, as a list of its parts."""
    text = COMMENT.sub("", text)
    for found in PATH.finditer(text):
        parts = [found.group(1)] + re.findall(r"[A-Za-z_]\w*", found.group(2))
        leaves = group(text, found.end()) if found.group(3) else [[]]
        for leaf in leaves:
            yield parts + [part.split(" as ")[0] for part in leaf]


def crate_edges(root):
    """Imports between the modules of one crate, as pairs of module paths."""
    modules = {}
    for file in tracked(f"{root}/*.rs"):
        module = list(file.relative_to(root).with_suffix("").parts)
        if "tests" in module or "bin" in module:
            continue
        module = () if module in (["lib"], ["main"]) else tuple(module)
        modules[module] = file
    for module, file in modules.items():
        text = re.split(r"#\[cfg\(test\)\]\nmod tests \{", file.read_text())[0]
        for first, *rest in paths(text):
            target = list(module) if first != "crate" else []
            if first == "super":
                target = target[:-1]
            while rest and rest[0] == "super":
                target, rest = target[:-1], rest[1:]
            target += rest
            while target and tuple(target) not in modules:
                target.pop()
            yield module, tuple(target)


def rooms(edges):
    """The same imports between rooms beside each other, for each level of the tree."""
    graph = defaultdict(set)
    for source, target in edges:
        shared = 0
        while shared < min(len(source), len(target)) and source[shared] == target[shared]:
            shared += 1
        if shared < len(source) and shared < len(target):
            graph[source[: shared + 1]].add(target[: shared + 1])
    return graph


def window_edges(root):
    for file in tracked(f"{root}/*.ts") + tracked(f"{root}/*.svelte"):
        for found in IMPORT.findall(file.read_text()):
            base = root / "lib" / found[5:] if found.startswith("$lib/") else file.parent / found
            target = Path(re.sub(r"[^/]+/\.\./", "", str(base)).replace("/./", "/"))
            for suffix in ("", ".ts", ".svelte", ".svelte.ts"):
                candidate = (Path.cwd() / f"{target}{suffix}").resolve()
                if candidate.is_file():
                    yield file.resolve(), candidate
                    break


def circles(graph):
    """Groups of nodes that reach each other (Tarjan, without recursion limits in practice)."""
    order, low, stack, found = {}, {}, [], []
    sys.setrecursionlimit(10_000)

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for following in sorted(graph.get(node, ())):
            if following not in order:
                visit(following)
                low[node] = min(low[node], low[following])
            elif following in stack:
                low[node] = min(low[node], order[following])
        if low[node] == order[node]:
            circle = []
            while True:
                circle.append(stack.pop())
                if circle[-1] == node:
                    break
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def main():
    failed = False
    for manifest in tracked("*Cargo.toml"):
        root = manifest.parent / "src"
        if not root.is_dir():
            continue
        for circle in circles(rooms(crate_edges(root))):
            failed = True
            print(f"error: {root}: a circle of imports: {', '.join('::'.join(m) for m in circle)}")
    graph = defaultdict(set)
    for source, target in window_edges(Path("ui/src")):
        graph[source].add(target)
    for circle in circles(graph):
        failed = True
        print(f"error: ui/src: a circle of imports: {', '.join(file.name for file in circle)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
