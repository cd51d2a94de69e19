"""The command `policy`: check a file without a service, show what is in force."""

import json
from pathlib import Path

import click

from encryption_service.cli_admin import ask
from encryption_service.cli_output import fail, json_option, print_json, reporting
from encryption_service.errors import ServiceError
from groupseal.visible_text import visible


@click.group()
def policy() -> None:
    """The customer's policy: GROUPSEAL_SERVICE_POLICY_FILE."""


@policy.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def policy_check(*, file: Path, as_json: bool) -> None:
    """Check a policy file, without a service. Exits with 1 if anything is wrong."""
    from encryption_service.policy.errors import PolicyError
    from encryption_service.policy.parse import parse_policy
    from encryption_service.policy.policy_file import read_policy_file

    try:
        found = parse_policy(read_policy_file(file))
    except PolicyError as error:
        faults = [visible(str(fault)) for fault in error.faults]
        if as_json:
            print_json({"digest": None, "faults": faults})
            raise SystemExit(1) from None
        fail(ServiceError(f"{file} is not usable:\n" + "\n".join(faults)))
    if as_json:
        print_json({"digest": found.digest.hex(), "faults": []})
    else:
        click.echo(f"{file} is well: digest {found.digest.hex()}")


@policy.command("show")
@json_option
@reporting
def policy_show(*, as_json: bool) -> None:
    """Show the policy in force. Exits with 1 if what is in the file now is not in force."""
    found = ask("policy.show")
    document = json.loads(found["document"])
    if as_json:
        print_json({**found, "document": document})
    else:
        import yaml

        click.echo(f"# digest {found['digest']}")
        if found["frozen_by_command"]:
            click.echo("# additions are frozen by the command: `encryption-service freeze off`")
        click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
    if found["fault"]:
        click.echo(visible(found["fault"]), err=True)
        raise SystemExit(1)


@policy.command("schema")
@click.option("--json", "as_json", is_flag=True, help="The document is JSON anyway.")
def policy_schema(*, as_json: bool) -> None:  # noqa: ARG001 # the same either way
    """Print the JSON Schema of the policy file, for editors and checks."""
    from encryption_service.policy.schema import schema_text

    click.echo(schema_text(), nl=False)
