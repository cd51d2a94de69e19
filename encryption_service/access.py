"""Who may call: clients whose certificate bears a pinned identity, and nobody else."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import grpc
import structlog

from encryption_service.client_identities import ClientIdentities
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)
# Quoted: the class is generic in its stubs only.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class PinnedClients(grpc.ServerInterceptor):
    """Refuses every call, health and reflection included, of a client that is not pinned.

    TLS has verified by then that the vendor's authority issued the certificate; another tenant's
    certificate is issued by the same authority and opens nothing here.
    """

    def __init__(self, identities: Iterable[str]) -> None:
        """`identities` are those of the setting; raises ValueError for one that is malformed."""
        self._pinned = ClientIdentities.parse(identities)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Found],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Found:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            behaviour = getattr(handler, kind)
            if behaviour is not None:
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                checked: _Handler = make(
                    self._checked(behaviour),
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )
                return checked
        return None

    def _checked(
        self, behaviour: Callable[[Any, grpc.ServicerContext], Any]
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        def checked(request: Any, context: grpc.ServicerContext) -> Any:  # any call
            self._require_pinned(context)
            return behaviour(request, context)

        return checked

    def _require_pinned(self, context: grpc.ServicerContext) -> None:
        pem = context.auth_context().get("x509_pem_cert", [b""])[0]
        shown = _identities_of(bytes(pem))
        if not self._pinned.shares_one_with(shown):
            _log.warning("client_not_pinned", identities=shown.texts())
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{Reason.SERVICE_REFUSED}: this client certificate is not one of "
                "GROUPSEAL_SERVICE_ALLOWED_CLIENT_IDENTITIES",
            )


@lru_cache(maxsize=256)
def _identities_of(pem: bytes) -> ClientIdentities:
    """Each call of a connection shows the same certificate."""
    return ClientIdentities.of_certificate(pem)
