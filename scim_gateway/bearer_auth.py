"""Bearer tokens (RFC 6750) out of the Authorization header."""

from scim_gateway.errors import UnauthorizedError

_MOST = 200


def bearer_token(authorization: str | None) -> str:
    """The token. Raises UnauthorizedError, whose text never holds what was sent."""
    if not authorization:
        raise UnauthorizedError("send Authorization: Bearer and the token")
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > _MOST or not token.isascii():
        raise UnauthorizedError("Authorization must be Bearer, a blank and the token")
    return token
