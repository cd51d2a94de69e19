"""Walking back: who holds an epoch's secret can read those before it, never those after."""

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from groupseal.envelopes import group_context
from groupseal.errors import MalformedError, PartMismatchError, WrongContextError
from groupseal.labels import Label
from groupseal.parts import PartKind, part_digest
from groupseal.projection import GroupView
from member_client.group_secrets import EpochKeys, GroupSecret
from member_client.verify import check_public_key

_NONCE_LENGTH = 12
_LINK_LENGTH = _NONCE_LENGTH + 32 + 16


def open_link(keys: EpochKeys, link: bytes) -> EpochKeys:
    """The keys of the epoch before. The link is nonce ‖ AES-256-GCM ciphertext.

    Raises WrongContextError.
    """
    if len(link) != _LINK_LENGTH:
        raise MalformedError(f"a history link has {_LINK_LENGTH} bytes")
    context = group_context(Label.HISTORY_LINK, keys.organisation, keys.group, keys.epoch)
    aead = AESGCM(keys.history_key.reveal())
    try:
        secret = aead.decrypt(link[:_NONCE_LENGTH], link[_NONCE_LENGTH:], context)
    except InvalidTag as error:
        raise WrongContextError("the history link does not open in this context") from error
    return EpochKeys(GroupSecret(secret), keys.organisation, keys.group, keys.epoch - 1)


def walk_back(
    newest: EpochKeys, oldest: int, links: Mapping[int, bytes], view: GroupView
) -> dict[int, EpochKeys]:
    """Keys of every epoch from `newest` back to `oldest`, each checked against the ledger.

    `links` maps an epoch to its link to the one before. Raises a ProtocolError.
    """
    found = {newest.epoch: newest}
    for epoch in range(newest.epoch, max(oldest, 1), -1):
        link = links.get(epoch)
        if link is None:
            raise PartMismatchError(f"the server holds back the history link of epoch {epoch}")
        if part_digest(PartKind.HISTORY_LINK, link) != view.history_links.get(epoch):
            raise PartMismatchError(f"the history link of epoch {epoch} is not the ledger's")
        before = open_link(found[epoch], link)
        check_public_key(before.public_key, view, before.epoch)
        found[before.epoch] = before
    return found
