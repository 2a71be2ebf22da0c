"""Shakespeare by role: tiny Shakespeare (Karpathy 2015), 40,000 lines of the plays. In the public domain.

Dealt to clients by who speaks, as McMahan et al. 2017 (arXiv 1602.05629, section 3) do with the complete works.
"""

from pathlib import Path

# Who says less has too little to train and to test on.
CHARACTERS = 3000


def speeches(path: Path) -> dict[str, list[str]]:
    """Return what each role with at least CHARACTERS characters says, the roles in alphabetical order.

    The file does not say where a play ends: a name that several plays share, such as "First Citizen", is one role.
    """
    roles: dict[str, list[str]] = {}
    for block in path.read_text("utf-8").split("\n\n"):
        role, _, speech = block.strip().partition(":\n")
        roles.setdefault(role, []).append(speech)
    return {role: said for role, said in sorted(roles.items()) if sum(map(len, said)) >= CHARACTERS}
