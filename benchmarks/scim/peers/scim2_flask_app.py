"""scim2-flask over scim2-server's in-memory storage: the package brings none of its own."""

from bearer import is_allowed
from flask import Flask, Response, request
from scim2_flask import ScimServer
from scim2_server.memory import InMemoryStorage
from scim2_server.utils import load_default_provider

app = Flask(__name__)


@app.before_request
def authenticate() -> Response | None:
    """Refuses a request without the token."""
    if is_allowed(request.headers.get("Authorization")):
        return None
    return Response(status=401)


ScimServer(InMemoryStorage(), load_default_provider(), app=app)
