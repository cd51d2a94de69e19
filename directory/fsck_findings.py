"""What a check of the stored state finds."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be: a stable code, where, and a sentence."""

    code: str
    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.code}: {self.where}: {self.sentence}"


@dataclass(slots=True)
class Findings:
    """Collects findings, each within a tenant."""

    tenant: str = ""
    all: list[Finding] = field(default_factory=list)

    def add(self, code: str, where: str, sentence: str) -> None:
        self.all.append(Finding(code, f"tenant {self.tenant}, {where}", sentence))

    def expect(self, holds: bool, code: str, where: str, sentence: str) -> None:
        """Adds a finding unless it holds."""
        if not holds:
            self.add(code, where, sentence)
