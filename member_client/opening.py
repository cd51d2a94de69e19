"""From a served envelope to a group's verified keys."""

from groupseal.envelopes import GROUP_SECRET_LENGTH, envelope_info
from groupseal.errors import MalformedError
from groupseal.projection import Projection
from member_client import hpke
from member_client.answers import ServedGrant
from member_client.group_secrets import EpochKeys, GroupSecret
from member_client.key_file import Identity
from member_client.verify import check_grant, check_public_key, group_view


def open_envelope(me: Identity, group: bytes, epoch: int, envelope: bytes) -> EpochKeys:
    """Opens an envelope in this context and in no other. Raises WrongContextError.

    What comes out is not believed until its public key was compared with the ledger's.
    """
    info = envelope_info(me.organisation, group, epoch, me.member, me.keys.key_id)
    secret = hpke.open_sealed(envelope, me.keys.hpke_seed, info)
    if len(secret) != GROUP_SECRET_LENGTH:
        raise MalformedError(f"a group secret has {GROUP_SECRET_LENGTH} bytes")
    return EpochKeys(GroupSecret(secret), me.organisation, group, epoch)


def open_grant(
    me: Identity, projection: Projection, group: bytes, served: ServedGrant
) -> EpochKeys:
    """1. The grant is in the ledger. 2. The envelope opens in its own context. 3. The secret
    yields the ledger's public key of that epoch. Raises a ProtocolError.
    """
    check_grant(projection, group, me.member, me.keys.key_id, served)
    opened = open_envelope(me, group, served.epoch, served.envelope)
    check_public_key(opened.public_key, group_view(projection, group), served.epoch)
    return opened
