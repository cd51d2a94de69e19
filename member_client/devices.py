"""A member's devices: what the ledger binds beside what the vendor says; vouching and removing."""

from collections.abc import Iterable
from dataclasses import dataclass

from groupseal.bindings import BindingRequest
from groupseal.errors import SignatureError, WrongContextError
from groupseal.identifiers import key_fingerprint
from groupseal.key_removal import KeyRemoval
from groupseal.projection import BoundKey, Projection
from groupseal.reasons import Reason
from groupseal.suites import suite_from
from member_client.answers import Device, OfferedKey, Removal
from member_client.api import KeySignature, Vouching
from member_client.context import DeviceContext
from member_client.errors import RefusedError, UsageError, WaitingError
from member_client.watch import Watch

_SHORTEST_PREFIX = 8


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device key of this member: the ledger's word and the vendor's, side by side."""

    key_id: bytes
    this_device: bool
    # As the ledger binds it, or bound it once; None where it never did.
    bound: BoundKey | None
    # It was bound and is no longer.
    removed: bool
    # Bound without the member having acknowledged it.
    unseen: bool
    # The vendor's word; None for a key that the vendor does not show.
    offered: Device | None

    @property
    def fingerprint(self) -> str:
        return key_fingerprint(self.key_id)

    @property
    def is_bound(self) -> bool:
        return self.bound is not None and not self.removed


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A key of this member that waits for somebody to vouch for it.

    Key id and possession were checked; whose device it is, the member has to compare.
    """

    request: BindingRequest
    possession_proof: bytes

    @property
    def key_id(self) -> bytes:
        return self.request.key_id

    @property
    def fingerprint(self) -> str:
        return key_fingerprint(self.key_id)


class Devices:
    """What a device does about the member's devices. Raises what `MemberClient` says."""

    def __init__(self, context: DeviceContext, watch: Watch) -> None:
        self._context = context
        self._watch = watch

    def views(self) -> list[DeviceView]:
        offered = self._context.api.devices()
        ledger, _ = self._context.synced()
        unseen = {key.key_id for key in self._watch.unseen_keys()}
        return views(
            ledger.projection,
            self._context.session.member,
            self._context.keys.key_id,
            offered,
            unseen,
        )

    def pending(self, key: str) -> PendingDevice:
        """1. The key that is meant is offered for this member. 2. The keys that the vendor shows
        have its id. 3. Whoever offered it holds them.
        """
        offered = self._context.api.offered_keys()
        key_id = find_key(key, (each.device.key_id for each in offered))
        found = next(each for each in offered if each.device.key_id == key_id)
        projection = self._context.synced()[0].projection
        if key_id in projection.keys or key_id in projection.former_keys:
            raise UsageError("this key is or was bound already: see `groupseal member devices`")
        return check_offered(self._context, found)

    def endorse(self, pending: PendingDevice) -> Device:
        self._require_bound(self._context.synced()[0].projection)
        keys = self._context.keys
        endorsement = KeySignature(keys.key_id, keys.sign(pending.request.endorsement_message()))
        device = self._context.api.submit_device(
            pending.request, pending.possession_proof, Vouching(endorsement=endorsement)
        )
        # The member has just compared it here.
        self._watch.acknowledge_keys([pending.key_id])
        return device

    def find_bound(self, key: str) -> bytes:
        projection = self._context.synced()[0].projection
        return find_key(
            key, (each.key_id for each in projection.keys_of(self._context.session.member))
        )

    def remove(self, key_id: bytes) -> Removal:
        self._require_bound(self._context.synced()[0].projection)
        me = self._context.me
        message = KeyRemoval(me.organisation, me.member, key_id).message()
        signature = KeySignature(me.keys.key_id, me.keys.sign(message))
        return self._context.api.remove_device(key_id, signature)

    def _require_bound(self, projection: Projection) -> None:
        own = self._context.keys.key_id
        if own in projection.former_keys:
            raise RefusedError(
                Reason.KEY_WAS_REMOVED, "this device's key was removed: it vouches for nothing", 403
            )
        if own not in projection.keys:
            raise WaitingError(
                Reason.QUEUED,
                "this device's key is not bound yet: it cannot vouch for anything. See `groupseal"
                " member devices`",
            )


def views(
    projection: Projection,
    member: bytes,
    own: bytes,
    offered: Iterable[Device],
    unseen: set[bytes],
) -> list[DeviceView]:
    """The ledger's keys in its order, then those that only the vendor shows.

    A key that the ledger binds is listed whether or not the vendor shows it.
    """
    said = {each.key_id: each for each in offered}
    former = [key for key in projection.former_keys.values() if key.member == member]
    known = sorted([*projection.keys_of(member), *former], key=lambda key: key.position)
    found = [
        DeviceView(
            key.key_id,
            key.key_id == own,
            key,
            key.key_id not in projection.keys,
            key.key_id in unseen,
            said.pop(key.key_id, None),
        )
        for key in known
    ]
    rest = [
        DeviceView(each.key_id, each.key_id == own, None, False, False, each)
        for each in said.values()
    ]
    return found + rest


def check_offered(context: DeviceContext, offered: OfferedKey) -> PendingDevice:
    """Raises WrongContextError or SignatureError for keys that are not what they are said to be."""
    request = BindingRequest(
        context.organisation.organisation,
        context.session.member,
        suite_from(offered.suite),
        offered.hpke_public_key,
        offered.signing_public_key,
        offered.replaces,
    )
    if request.key_id != offered.device.key_id:
        raise WrongContextError(
            "the vendor shows other keys than those of this key id: do not go on and tell your"
            " administrator"
        )
    try:
        request.verify_possession(offered.possession_proof)
    except SignatureError as error:
        raise SignatureError(
            "nobody has shown to hold the keys that the vendor shows: do not go on and tell your"
            " administrator"
        ) from error
    return PendingDevice(request, offered.possession_proof)


def find_key(text: str, among: Iterable[bytes]) -> bytes:
    """A key id by its first digits, as people copy them. Raises UsageError."""
    wanted = text.strip().lower()
    found = {key_id for key_id in among if key_id.hex().startswith(wanted)}
    if len(wanted) < _SHORTEST_PREFIX or len(found) != 1:
        raise UsageError(
            f"{text} names no single one of your keys: give at least the first {_SHORTEST_PREFIX}"
            " digits, as `groupseal member devices` shows them"
        )
    return found.pop()
