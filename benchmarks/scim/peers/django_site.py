"""django-scim2-server as its documentation sets it up, as Django's deployment checklist asks:

no debugging, connections that are kept, PostgreSQL, and only the middleware that is needed.
"""

import os
from urllib.parse import urlsplit

from bearer import is_allowed
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.urls import include, path

_DATABASE = urlsplit(os.environ["PEER_DATABASE_URL"])

DEBUG = False
SECRET_KEY = os.environ["PEER_TOKEN"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = __name__
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_scim2_server"]
MIDDLEWARE: list[str] = []
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _DATABASE.path.removeprefix("/"),
        "USER": _DATABASE.username,
        "PASSWORD": _DATABASE.password,
        "HOST": _DATABASE.hostname,
        "PORT": _DATABASE.port,
        "OPTIONS": {"pool": {"min_size": 2, "max_size": 8}},
    }
}
SCIM2_SERVER_AUTH_CHECK = f"{__name__}.check"

urlpatterns = [path("scim/v2/", include("django_scim2_server.urls"))]


def check(request: HttpRequest) -> bool:
    """Access by the token of this run."""
    return bool(is_allowed(request.headers.get("Authorization")))


if os.environ.get("PEER_SERVES"):  # not while `django migrate` reads these settings
    os.environ["DJANGO_SETTINGS_MODULE"] = __name__
    app = get_wsgi_application()
