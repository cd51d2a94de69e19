"""Lines of a benchmark's report, with the limit that each figure is held against."""

from dataclasses import dataclass, field


@dataclass
class Report:
    """Prints each figure as it comes and remembers which missed its limit."""

    missed: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        print(f"\n{text}")

    def add(self, what: str, figure: str) -> None:
        print(f"  {what:<64} {figure}", flush=True)

    def ratio(
        self, what: str, value: float, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        self.limit(what, value, "x", at_most=at_most, at_least=at_least)

    def limit(
        self,
        what: str,
        value: float,
        unit: str,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """A figure with a limit; missing it makes the run end with status 1."""
        good = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        bound = f"<= {at_most:g}" if at_most is not None else f">= {at_least:g}"
        self.add(what, f"{value:.2f} {unit}  ({bound}: {'holds' if good else 'MISSED'})")
        if not good:
            self.missed.append(what)
