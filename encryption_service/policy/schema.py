"""The JSON Schema of the policy file, kept beside this file as `policy.schema.json`.

It says what each field may be. What fields must be together (enough approvers, known names) is
checked by `encryption-service policy check` alone.
"""

import json

from encryption_service.policy.model import PolicyModel


def schema_text() -> str:
    """JSON Schema, draft 2020-12, with a line feed at its end."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PolicyModel.model_json_schema(),
    }
    return json.dumps(schema, indent=2) + "\n"
