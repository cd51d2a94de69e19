"""Typed errors to gRPC statuses, with a google.rpc.ErrorInfo that carries the reason code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from encryption_service.errors import BusyError, CallError, HaltedError, InvalidCallError
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)
DOMAIN = "groupseal"


def abort(context: grpc.ServicerContext, error: CallError) -> NoReturn:
    """Ends the call with the error's status."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    status = status_pb2.Status(code=_code(error), message=str(error), details=[info])
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort raises")


@contextmanager
def statuses(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns errors of a call into statuses; what is unexpected tells the caller nothing."""
    try:
        yield
    except CallError as error:
        abort(context, error)
    except grpc.RpcError:
        raise
    except Exception as error:
        if context.is_active():
            _log.error("call_failed", error=repr(error))
            abort(context, CallError(Reason.INTERNAL))
        raise


def _code(error: CallError) -> int:
    if isinstance(error, HaltedError):
        return code_pb2.FAILED_PRECONDITION
    if isinstance(error, InvalidCallError):
        return code_pb2.INVALID_ARGUMENT
    if isinstance(error, BusyError):
        timed_out = error.reason is Reason.SERVICE_TIMEOUT
        return code_pb2.DEADLINE_EXCEEDED if timed_out else code_pb2.UNAVAILABLE
    return code_pb2.INTERNAL
