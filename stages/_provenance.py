"""Where the numbers of a report come from: commit, dvc.lock, parameters, packages, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

from text2sql.cpu import allowed_cores
from text2sql.gpus import visible_gpus
from text2sql.report.html.page import Provenance

_PROJECT = "text2sql-qwen3"
_UNKNOWN = "unknown"
# What stages write belongs to the run, not to the code.
_CODE = ("--", ".", ":!metrics", ":!dvc.lock")


def provenance(profile: str, params: Path = Path("params.yaml"), lock: Path = Path("dvc.lock")) -> Provenance:
    """The provenance of a report that is made now, in the working directory."""
    facts = [
        ("Commit", commit()),
        ("dvc.lock", _lock_hash(lock)),
        ("Profile", profile),
        ("Machine of this report", machine()),
        ("System", f"{platform.platform()}, Python {platform.python_version()}"),
    ]
    return Provenance(facts, package_versions(), params.read_text(encoding="utf-8"))


def commit() -> str:
    """The commit of the working directory, and whether its code was changed since."""
    found = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", *_CODE)
    return f"{found}, with changes that are not committed" if found and changed else found or _UNKNOWN


def package_versions() -> dict[str, str]:
    """The installed versions of the packages that the project needs itself."""
    needed = importlib.metadata.requires(_PROJECT) or []
    names = [re.split(r"[^\w.-]", need)[0] for need in needed if "extra ==" not in need]
    return {name: importlib.metadata.version(name) for name in sorted(names, key=str.lower)}


def machine() -> str:
    """Processor, cores, memory and GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [gpu.name for gpu in visible_gpus()]
    return ", ".join([_processor(), f"{allowed_cores()} cores", f"{memory:.0f} GiB", *gpus])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1] if named else platform.machine()


def _lock_hash(lock: Path) -> str:
    """What DVC had recorded when the report began; it adds the report itself afterwards."""
    if not lock.is_file():
        return "none"
    return f"SHA-256 {hashlib.sha256(lock.read_bytes()).hexdigest()}, before this report"


def _git(*arguments: str) -> str:
    """What git prints; nothing outside a repository or without git."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
