"""`python -m course_lib doctor`: is this machine ready for the course?"""

import argparse
import io
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0 if all is well, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib", description="Distributed ML against federated learning."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="check this machine: Python, torch, cores, memory, workers, data")
    parser.parse_args(arguments)

    from course_lib import doctor

    return 0 if all(finding.ok for finding in doctor.check()) else 1


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no tick gets a question mark
    sys.exit(main())
