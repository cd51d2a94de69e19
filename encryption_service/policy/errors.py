"""What is wrong with a policy document."""

from dataclasses import dataclass

from encryption_service.errors import ServiceError

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, where, and what to write instead."""

    location: Location
    sentence: str
    # Counted from 1; None: about the document as a whole.
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{field_name(self.location)}{self.sentence}"


def field_name(location: Location) -> str:
    """`protected[0].approvals: `, or nothing for the whole document."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: " if text else ""


class PolicyError(ServiceError):
    """The document is not a policy; the text has a sentence for each fault."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults

    @classmethod
    def of(cls, sentence: str, line: int | None = None) -> "PolicyError":
        """About the document as a whole."""
        return cls(Fault((), sentence, line))
