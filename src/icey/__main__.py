"""``python -m icey`` and the command ``icey-server``."""

import sys

from icey import cli


def main() -> int:
    """Run the command line of this process and return its exit code."""
    return cli.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
