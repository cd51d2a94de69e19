"""An Okta organisation to ask, and what asking it takes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from encryption_service.outbound_http import OutboundHttp
from tests.support.okta_api import OktaApi


@pytest.fixture
def okta() -> Iterator[OktaApi]:
    with OktaApi() as running:
        yield running


@pytest.fixture
def http() -> Iterator[OutboundHttp]:
    http = OutboundHttp(allow_private_addresses=True, timeout=1.0)
    yield http
    http.close()


@pytest.fixture
def token_file(tmp_path: Path, okta: OktaApi) -> Path:
    file = tmp_path / "okta-token"
    file.write_text(okta.api_token + "\n")
    return file
