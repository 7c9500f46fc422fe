"""Pages in a browser without a window."""

import shutil
import subprocess

import pytest

needs_browser = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed: pages are not run in a browser"
)
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--headless", "--dump-dom"]


def browsed(path, profile, *more, at=""):
    """The page's document after its script has run.

    profile   an empty folder
    more, at  further options; what stands behind the page's address
    """
    return subprocess.run(
        ["chromium", *QUIET, *more, f"--user-data-dir={profile}", path.as_uri() + at],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
