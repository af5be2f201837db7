"""The files that ship inside the package, checked against `assets/SHA256SUMS`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ..files import file_sha256, write_file

CHECKSUMS = "SHA256SUMS"
REQUIRED = (
    "identity.safetensors",
    "mini/magicface.json",
    "perception.safetensors",
    "portrait.png",
)

State = Literal["ok", "missing", "changed", "unlisted"]


@dataclass(frozen=True)
class AssetState:
    """An embedded file: its path below assets/, size in bytes, and state of its sha256."""

    file: str
    bytes: int
    sha256: str
    state: State

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def embedded_assets(folder: Path | None = None) -> list[AssetState]:
    """All files of the assets folder, and those that should be in it, by name."""
    assets = folder or Path(str(resources.files("magicface_core").joinpath("assets")))
    expected = read_checksums(assets)
    present = {
        path.relative_to(assets).as_posix()
        for path in assets.rglob("*")
        if path.is_file() and path.name != CHECKSUMS and not path.name.startswith(".")
    }
    names = sorted(present | expected.keys() | set(REQUIRED))
    return [_state(assets, name, expected.get(name)) for name in names]


def read_checksums(assets: Path) -> dict[str, str]:
    """File name to sha256, as `sha256sum` writes them; empty where the list is absent."""
    listing = assets / CHECKSUMS
    if not listing.is_file():
        return {}
    lines = listing.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {name.lstrip("*"): digest for digest, name in pairs}


def write_checksums(assets: Path) -> None:
    """Write SHA256SUMS anew for every file there is; run it after changing an asset."""
    present = [asset for asset in embedded_assets(assets) if asset.state != "missing"]
    lines = [f"{asset.sha256}  {asset.file}\n" for asset in present]
    write_file(assets / CHECKSUMS, "".join(lines))


def _state(assets: Path, name: str, expected: str | None) -> AssetState:
    path = assets / name
    if not path.is_file():
        return AssetState(name, 0, "", "missing")
    digest = file_sha256(path)
    state: State = "unlisted" if expected is None else "ok" if digest == expected else "changed"
    return AssetState(name, path.stat().st_size, digest, state)
