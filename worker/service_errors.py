"""What a failed gRPC call means, as a typed error."""

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from groupseal.reasons import Reason
from worker.errors import (
    ServiceError,
    ServiceTimeoutError,
    ServiceUnavailableError,
    UnpinnedServiceError,
)

_DOMAIN = "groupseal"
# How gRPC's texts say that the server's certificate is not of the pinned authority or name. The
# second: an authority that only calls itself like the pinned one.
_WRONG_CERTIFICATE = (
    "CERTIFICATE_VERIFY_FAILED",
    "certificate signature failure",
    "Peer name",
    "Hostname Verification",
)


def translated(error: Exception, *, timed_out: bool = False) -> ServiceError:
    """The typed error of a failed call; `timed_out` if the caller gave it up itself."""
    if not isinstance(error, grpc.Call):
        return ServiceUnavailableError("the call did not reach the encryption service")
    code, details = error.code(), error.details() or ""
    if timed_out or code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServiceTimeoutError("the encryption service did not answer in time")
    reason = _reason_of(error)
    if reason is not None:
        return ServiceError(reason, f"the encryption service refused the call: {reason}")
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        if any(sign in details for sign in _WRONG_CERTIFICATE):
            return UnpinnedServiceError("the server's certificate is not of the pinned authority")
        return ServiceUnavailableError("the encryption service cannot be reached")
    return ServiceError(
        Reason.SERVICE_REFUSED,
        f"the encryption service refused the call with {code.name}",
    )


def translated_async(error: grpc.aio.AioRpcError) -> ServiceError:
    """The same for a call on an event loop; whatever it is, it is tried again."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServiceTimeoutError("the encryption service did not answer in time")
    if any(sign in details for sign in _WRONG_CERTIFICATE):
        return UnpinnedServiceError("the server's certificate is not of the pinned authority")
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        return ServiceUnavailableError("the encryption service cannot be reached")
    return ServiceError(
        Reason.SERVICE_REFUSED, f"the encryption service refused the call with {code.name}"
    )


def _reason_of(error: grpc.Call) -> Reason | None:
    """The reason code that the service attached (google.rpc.ErrorInfo), if it is one we know."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # Details that contradict the status are worth nothing.
        return None
    for detail in status.details if status is not None else ():
        info = ErrorInfo()
        if detail.Unpack(info) and info.domain == _DOMAIN:
            try:
                return Reason(info.reason)
            except ValueError:
                return None
    return None
