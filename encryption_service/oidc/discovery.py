"""Where the provider's keys are (OpenID Connect Discovery 1.0), and the keys themselves."""

from urllib.parse import urlsplit

from encryption_service.errors import ServiceError
from encryption_service.oidc.signing_keys import KeySetError, SigningKey, read_key_set
from encryption_service.oidc.strict_json import JsonError, read_object
from encryption_service.outbound_http import OutboundError, OutboundHttp, check_url

_WELL_KNOWN = "/.well-known/openid-configuration"
_MAX_DOCUMENT = 512 * 1024
_ACCEPT_JSON = {"Accept": "application/json"}


class ProviderError(ServiceError):
    """The provider did not give its keys; the text says what an operator has to look at."""


def fetch_keys(http: OutboundHttp, issuer: str) -> tuple[SigningKey, ...]:
    """Asks for the discovery document, then for the key set that it names; ProviderError."""
    # Section 4.1: a slash at the end goes, before the path is appended.
    document = _fetch(http, issuer.removesuffix("/") + _WELL_KNOWN, "discovery document")
    jwks_uri = _jwks_uri(document, issuer)
    try:
        return read_key_set(_fetch(http, jwks_uri, "key set"))
    except KeySetError as error:
        raise ProviderError(f"the identity provider's key set is not usable: {error}") from error


def _jwks_uri(document: bytes, issuer: str) -> str:
    try:
        members = read_object(document)
    except JsonError as error:
        raise ProviderError(
            "the identity provider's discovery document is no JSON object"
        ) from error
    # Section 4.3: exactly the one that was asked. Otherwise one provider speaks for another.
    if members.get("issuer") != issuer:
        raise ProviderError(
            "the discovery document names another issuer than GROUPSEAL_SERVICE_OIDC_ISSUER; it "
            "must be the same letter for letter, a slash at the end included"
        )
    jwks_uri = members.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise ProviderError("the discovery document has no `jwks_uri`")
    # http is for a provider on this very machine, which then has an http issuer as well.
    if urlsplit(issuer).scheme == "https" and not jwks_uri.startswith("https://"):
        raise ProviderError("the discovery document's `jwks_uri` is not an https URL")
    return jwks_uri


def _fetch(http: OutboundHttp, url: str, what: str) -> bytes:
    try:
        check_url(url)
        answer = http.request("GET", url, headers=_ACCEPT_JSON)
    except OutboundError as error:
        raise ProviderError(f"the identity provider's {what} is out of reach: {error}") from error
    if answer.status != 200:
        raise ProviderError(
            f"the identity provider answered {answer.status} for its {what}; redirects are not "
            "followed"
        )
    if len(answer.body) > _MAX_DOCUMENT:
        raise ProviderError(f"the identity provider's {what} is longer than {_MAX_DOCUMENT} bytes")
    return answer.body
