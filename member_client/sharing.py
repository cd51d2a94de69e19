"""Sharing to a group: sealed to the public key that the ledger has for it, signed by the sender."""

from dataclasses import replace

from groupseal.bindings import verify_signature
from groupseal.envelopes import item_info
from groupseal.errors import FormerMemberError, SenderError, WrongContextError
from groupseal.projection import BoundKey, GroupView
from groupseal.shared_items import SharedItem
from member_client import hpke
from member_client.group_secrets import EpochKeys
from member_client.key_file import Identity
from member_client.ledger_file import Ledger


def seal_item(me: Identity, group: bytes, view: GroupView, plaintext: bytes) -> SharedItem:
    """Seals and signs for the group's newest epoch. The caller has checked that it is open."""
    epoch, public_key, key_id = view.state.epoch, view.state.public_key, me.keys.key_id
    info = item_info(me.organisation, group, epoch, me.member, key_id)
    ciphertext = hpke.seal(plaintext, public_key, info)
    item = SharedItem(me.organisation, group, epoch, public_key, me.member, key_id, ciphertext)
    return replace(item, signature=me.keys.sign(item.message()))


def check_item(item: SharedItem, ledger: Ledger, organisation: bytes, group: bytes) -> None:
    """Whether the ledger vouches for the item's sender, here and in this epoch.

    1. The key is bound to the sender, or was while the epoch lasted. 2. It signed the item. 3. The
    item is for this organisation, group and epoch. 4. The sender had not left the group before.
    Raises SenderError, SignatureError, WrongContextError or FormerMemberError.
    """
    key = _sender_key(item, ledger)
    verify_signature(key.signing_public_key, item.signature, item.message())
    view = ledger.projection.groups.get(group)
    if item.organisation != organisation or item.group != group or view is None:
        raise WrongContextError("the item was written for another group")
    if view.epochs.get(item.epoch) != item.group_public_key:
        raise WrongContextError(f"the item names another key than that of epoch {item.epoch}")
    if view.left.get(item.sender, item.epoch) < item.epoch:
        raise FormerMemberError("the item was written by someone who had left the group")


def _sender_key(item: SharedItem, ledger: Ledger) -> BoundKey:
    projection = ledger.projection
    key = projection.keys.get(item.sender_key_id)
    if key is None:
        # A device that was removed later did write what it wrote before.
        key = projection.former_keys.get(item.sender_key_id)
        last = ledger.unbound.get(item.sender_key_id, {}).get(item.group, 0)
        if item.epoch > last:
            key = None
    if key is None or key.member != item.sender:
        raise SenderError("the ledger binds the item's key to no such sender")
    return key


def open_item(item: SharedItem, keys: EpochKeys) -> bytes:
    """The plaintext of a checked item, with the keys of its epoch. Raises WrongContextError."""
    info = item_info(item.organisation, item.group, item.epoch, item.sender, item.sender_key_id)
    return hpke.open_sealed(item.ciphertext, keys.seed, info)
