"""Why evidence is not accepted."""

from groupseal.reasons import Reason


class EvidenceError(Exception):
    """Evidence is refused, or cannot be judged now; `reason` says which.

    The text never quotes the evidence, nor anything in it.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.remedy)
        self.reason = reason
