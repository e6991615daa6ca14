"""`python -m bench [jobs]`: measures what is named, or all."""

from __future__ import annotations

import sys

from bench import api, jobs, policies

FILES = {"jobs": jobs.run, "api": api.run, "policies": policies.run}


def main(names: list[str]) -> int:
    """Exit code 2 when there is no such file of figures."""
    if unknown := set(names) - FILES.keys():
        print(f"there are no figures {', '.join(unknown)}; there are: {', '.join(FILES)}", file=sys.stderr)
        return 2
    for name in names or FILES:
        FILES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
