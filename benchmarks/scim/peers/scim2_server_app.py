"""scim2-server's own WSGI application over its in-memory storage, with its bearer tokens."""

import os

from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider

app = BearerTokenApplication(
    InMemoryStorage(), load_default_provider(), bearer_tokens=[os.environ["PEER_TOKEN"]]
)
