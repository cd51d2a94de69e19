"""The metrics page of a running service, parsed by the library of those who read such pages."""

import http.client
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Scraped:
    """The page's text; its types by family; its samples by name and labels."""

    text: str
    types: dict[str, str]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    def number(self, name: str, **labels: str) -> float:
        """The same of a sample that must be there."""
        value = self.value(name, **labels)
        assert value is not None, f"{name} is not on the page:\n{self.text}"
        return value


def scrape(port: int) -> Scraped:
    """Reads /metrics on this machine. Raises OSError where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, text
    families = list(text_string_to_metric_families(text))
    return Scraped(
        text,
        {family.name: family.type for family in families},
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        },
    )
