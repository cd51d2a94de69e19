"""Read a Dockerfile into its stages. Enough for this repository's, not the whole syntax."""

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined: the word and the rest."""

    word: str
    rest: str


@dataclass
class Stage:
    """One `FROM` and what follows it."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What follows `word`, for each such instruction in order."""
        return [found.rest for found in self.instructions if found.word == word]


def stages_of(dockerfile: Path) -> list[Stage]:
    """The stages of `dockerfile` in order; arguments before the first `FROM` are left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[Stage] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        elif stages:
            stages[-1].instructions.append(Instruction(word, rest))
    return stages
