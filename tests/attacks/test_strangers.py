"""Another tenant of the same vendor is refused every call there is (I12)."""

from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from encryption_api import encryption_pb2 as pb
from tests.support.service import ServiceProcess

OTHER_TENANT = "spiffe://groupseal/tenant/99999999-2222-4333-8444-555555555555"
# From the contracts themselves, so that a call that is added is tried by itself.
CALLS = [
    (service.full_name, method.name)
    for file in (pb.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]

OURS = pb.DESCRIPTOR.services_by_name["EncryptionService"].full_name


@pytest.mark.parametrize(("service", "method"), CALLS, ids=lambda name: name.rpartition(".")[2])
def test_every_call_of_another_tenant_is_denied(
    real_service: ServiceProcess, service: str, method: str
) -> None:
    """The vendor's authority issued the certificate; it names another tenant."""
    stranger = real_service.authority.issue_uri(OTHER_TENANT)
    with real_service.channel(stranger) as channel:
        call: Any = channel.stream_stream(
            f"/{service}/{method}",
            request_serializer=Empty.SerializeToString,
            response_deserializer=lambda data: data,
        )
        with pytest.raises(grpc.RpcError) as failed:
            list(call(iter([Empty()]), timeout=5))
    allowed = {grpc.StatusCode.PERMISSION_DENIED}
    if service != OURS:
        # A standard call that this server does not have is unknown to everybody.
        allowed.add(grpc.StatusCode.UNIMPLEMENTED)
    assert failed.value.code() in allowed
