"""The command line as people have it: a program of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from tests.journeys.site import Json, Site


@dataclass
class Cli:
    """Runs `stillframe` with nobody at a terminal."""

    site: Site

    def __call__(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        where = {"STILLFRAME_URL": self.site.url, "STILLFRAME_KEY": self.site.key, "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [sys.executable, "-m", "stillframe.cli", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
            env=os.environ | where | env,
            stdin=subprocess.DEVNULL,
        )

    def json(self, *words: str) -> Json:
        """What it says to a program."""
        said = self(*words, "-o", "json")
        assert said.returncode == 0, said.stderr
        found: Json = json.loads(said.stdout)
        return found
