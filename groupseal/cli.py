"""The one `groupseal` command: it collects what the installed packages bring.

Each package declares its commands as entry points of the group `groupseal.commands`, named by
their path (`tenant.create`). A command is imported when it is called, so that a client's
installation needs nothing of the vendor's.
"""

from importlib.metadata import EntryPoint, entry_points

import click

COMMANDS = "groupseal.commands"


class CollectedGroup(click.Group):
    """A command group whose members are entry points below one path."""

    def __init__(
        self, name: str | None = None, path: tuple[str, ...] = (), **attrs: object
    ) -> None:
        super().__init__(name=name, **attrs)  # type: ignore[arg-type] # click's own keywords
        self._path = path

    def _below(self) -> dict[str, EntryPoint | None]:
        """Next word of each path below this one -> its entry point, or None for a group."""
        found: dict[str, EntryPoint | None] = {}
        for point in entry_points(group=COMMANDS):
            words = tuple(point.name.split("."))
            depth = len(self._path)
            if words[:depth] == self._path and len(words) > depth:
                found[words[depth]] = point if len(words) == depth + 1 else None
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        return sorted(self._below())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        below = self._below()
        if cmd_name not in below:
            return None
        point = below[cmd_name]
        if point is None:
            path = (*self._path, cmd_name)
            return CollectedGroup(cmd_name, path, help=_HELP.get(cmd_name))
        try:
            command = point.load()
        except ModuleNotFoundError as error:
            # The command belongs to an extra that this installation does not have.
            if error.name and error.name.partition(".")[0] in _OUR_PACKAGES:
                return _absent(cmd_name, error.name)
            raise
        if not isinstance(command, click.Command):
            raise TypeError(f"entry point {point.name} is not a command")
        return command


_OUR_PACKAGES = {"approver", "directory", "scim_gateway", "worker", "member_client", "embedded"}
_HELP = {
    "approver": "An approver's key, with which `groupseal approve` signs.",
    "tenant": "Tenants of this vendor and their encryption services.",
    "member": "A member's device: enrol, open, share, read.",
    "groups": "Deleted groups, and bringing one back.",
    "scim-token": "The tokens with which an identity provider signs in.",
    "enrolment-code": "One-time codes with which members enrol a device.",
    "authority": "The vendor's authority for client certificates.",
}


def _absent(name: str, module: str) -> click.Command:
    @click.command(name, help=f"Not part of this installation (no {module}).", hidden=True)
    def absent() -> None:
        raise click.ClickException(f"this installation has no {module}")

    return absent


main = CollectedGroup(
    "groupseal",
    help="Zero-knowledge group provisioning. Start with `groupseal up`, or `make demo`.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
