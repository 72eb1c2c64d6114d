#!/usr/bin/env python3
"""Draws every icon file from mcplocal.svg. Run it after a change of the SVG; commit what it writes.

Needs rsvg-convert (Debian: librsvg2-bin). A picture is a choice of the SVG's layers.
"""

import pathlib
import struct
import subprocess
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
SVG = "{http://www.w3.org/2000/svg}"
APP = {"solid", "arrow"}
TRAY = {
    "off": {"hollow", "dash"},
    "connecting": {"hollow", "dots"},
    "online": {"solid", "arrow"},
    "busy": {"solid", "arrow", "badge-dot"},
    "partial": {"solid", "arrow", "badge-triangle"},
    "error": {"hollow-red", "bang"},
}
TRAY_PIXELS = 48
ICO_PIXELS = (16, 24, 32, 48, 64, 256)
ICNS_PIXELS = {b"ic07": 128, b"ic08": 256, b"ic09": 512, b"ic10": 1024}


def png(layers: set[str], pixels: int) -> bytes:
    """The chosen layers as a square PNG."""
    ET.register_namespace("", SVG.strip("{}"))
    root = ET.parse(HERE / "mcplocal.svg").getroot()
    known = {group.get("id") for group in root}
    if missing := layers - known:
        raise SystemExit(f"mcplocal.svg has no layer {', '.join(sorted(missing))}")
    for group in [group for group in root if group.get("id") not in layers]:
        root.remove(group)
    command = ["rsvg-convert", "--width", str(pixels), "--height", str(pixels)]
    return subprocess.run(command, input=ET.tostring(root), stdout=subprocess.PIPE, check=True).stdout


def ico(images: dict[int, bytes]) -> bytes:
    """A Windows icon of PNG images."""
    head = struct.pack("<HHH", 0, 1, len(images))
    offset = len(head) + 16 * len(images)
    for pixels, data in images.items():
        size = pixels % 256  # 0 stands for 256
        head += struct.pack("<BBBBHHII", size, size, 0, 0, 1, 32, len(data), offset)
        offset += len(data)
    return head + b"".join(images.values())


def icns(images: dict[bytes, bytes]) -> bytes:
    """A macOS icon of PNG images."""
    body = b"".join(kind + struct.pack(">I", len(data) + 8) + data for kind, data in images.items())
    return b"icns" + struct.pack(">I", len(body) + 8) + body


def main() -> None:
    files = {f"tray-{state}.png": png(layers, TRAY_PIXELS) for state, layers in TRAY.items()}
    files |= {f"{n}x{n}.png": png(APP, n) for n in (32, 128)}
    files["128x128@2x.png"] = png(APP, 256)
    files["icon.png"] = png(APP, 512)
    files["icon.ico"] = ico({n: png(APP, n) for n in ICO_PIXELS})
    files["icon.icns"] = icns({kind: png(APP, n) for kind, n in ICNS_PIXELS.items()})
    for name, data in files.items():
        (HERE / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")


main()
