"""Build the wheel, and see that it works from elsewhere: typed, with its embedded data, with its licences."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
MUST = [
    path.relative_to(SOURCE).as_posix()
    for path in sorted((SOURCE / "narrows").rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts
]
USE = """
import pathlib, sys, narrows
assert pathlib.Path(narrows.__file__).is_relative_to(sys.argv[1]), narrows.__file__
from narrows import data
names = [entry.name for entry in data.catalogue() if entry.embedded]
assert {"digits", "fashion", "passengers", "heartbeats", "banknote", "census"} <= set(names), names
for name in names:
    assert len(data.load(name).data) > 0, name
"""


def main() -> int:
    """Build, look inside, and use."""
    with tempfile.TemporaryDirectory() as folder:
        wheels, site = Path(folder, "wheels"), Path(folder, "site")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        build = ["wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(wheels)]
        subprocess.run([*pip, *build], check=True)
        (wheel,) = wheels.iterdir()
        names = zipfile.ZipFile(wheel).namelist()
        assert "narrows/py.typed" in MUST
        missing = [name for name in MUST if name not in names]
        missing += [name for name in ("LICENSE", "NOTICE") if not any(n.endswith(f"licenses/{name}") for n in names)]
        strangers = [n for n in names if not n.startswith("narrows/") and ".dist-info/" not in n]
        if missing or strangers:
            print(f"{wheel.name}: missing {missing}, not expected {strangers}")
            return 1
        subprocess.run([*pip, "install", str(wheel), "--no-deps", "--target", str(site)], check=True)
        environment = {**os.environ, "PYTHONPATH": str(site)}
        subprocess.run([sys.executable, "-c", USE, str(site)], check=True, cwd=folder, env=environment)
        print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.1f} MB, works on its own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
