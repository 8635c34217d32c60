"""Wheels with the metadata of real packages and nothing in them, for a resolver to choose from without a network."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.utils import canonicalize_name

_KEPT = ("Requires-Python", "Provides-Extra", "Requires-Dist")
_WHEEL = "Wheel-Version: 1.0\nGenerator: gaia\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def publish(index: Path, like: Distribution, *versions: str) -> list[str]:
    """Write wheels that ask for what `like` asks for into an index, and return their hashes as a lock writes them."""
    folder = index / canonicalize_name(like.name)
    folder.mkdir()
    wheels = [_write(folder, like, version) for version in versions]
    links = [f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in wheels]
    (folder / "index.html").write_text("\n".join(["<!DOCTYPE html>", *links, ""]), encoding="utf-8")
    return [f"sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" for wheel in wheels]


def _write(folder: Path, like: Distribution, version: str) -> Path:
    name = canonicalize_name(like.name)
    wheel = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    files = {f"{info}/METADATA": _metadata(name, version, like), f"{info}/WHEEL": _WHEEL}
    records = [f"{path},{_record(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*records, f"{info}/RECORD,,", ""])
    with ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _metadata(name: str, version: str, like: Distribution) -> str:
    kept = [f"{header}: {value}" for header in _KEPT for value in like.metadata.get_all(header) or ()]
    return "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *kept, ""])


def _record(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(text.encode())}"
