"""The attacked worker of the worker's tests and the attacked service of the service's."""

from tests.service.conftest import service as real_service
from tests.worker.conftest import bench, service, tenant

__all__ = ["bench", "real_service", "service", "tenant"]
