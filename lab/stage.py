"""What the tour needs to be told and believed: numbered acts, real commands, and proofs that end it when they fail."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from lab.stack import ROOT, Addresses


class NotProven(Exception):
    """A proof of the tour failed; the text says what was expected and what was found."""


class Stage:
    """Tells the tour. Everything is printed at once, so that a pipe shows it as it happens."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._acts = 0
        self.proofs = 0

    def act(self, title: str) -> None:
        """Begins the next numbered act."""
        self._acts += 1
        say(f"\n{self._acts}. {title}\n")

    def run(self, *words: str) -> None:
        """Runs the command line as a person would, in a process of its own; raises NotProven unless it ends 0."""
        say(f"   $ {shlex.join(['stillframe', *words])}")
        command = Path(sys.executable).with_name("stillframe")
        done = subprocess.run(
            [command, *words],
            cwd=ROOT,
            env=os.environ | self._addresses.values,
            stderr=None if sys.stdout.isatty() else subprocess.STDOUT,  # in a file, in the order it was said
            check=False,
        )
        if done.returncode:
            raise NotProven(f"`stillframe {shlex.join(words)}` ended with exit code {done.returncode}")
        say("")

    def prove(self, holds: bool, sentence: str) -> None:
        """One proof: what was found is in the sentence; raises NotProven if it does not hold."""
        if not holds:
            raise NotProven(sentence)
        self.proofs += 1
        say(f"   proven: {sentence}")


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


class Clock:
    """How long the tour has run."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._began:.0f} s"
