"""The virtual environments of the scripts here, each made when it is first needed."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path


def cache() -> Path:
    """Returns the folder that outlives runs: environments and generated models."""
    kept = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GLASSD_CI_TOOLS") or Path(kept) / "glassd-ci")


def enter(name: str, requirements: Path) -> None:
    """Goes on in an environment that has the requirements; returns only once inside."""
    folder = cache() / "compare" / name
    python = folder / "bin" / "python"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = folder / "requirements.sha256"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"making {folder} from {requirements.name}: minutes, once", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--progress-bar", "off", "-r", requirements], check=True,
                       stdout=sys.stderr)
        stamp.write_text(wanted)
    if Path(sys.prefix) != folder:
        os.execv(python, [str(python), *sys.argv])
