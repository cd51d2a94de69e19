"""What a group's secret yields: key pair, content key, history key (HKDF-SHA256, RFC 5869)."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from groupseal.envelopes import group_context
from groupseal.labels import Label
from member_client import hpke
from member_client.hpke import XWingSeed
from member_client.secret import Secret


class GroupSecret(Secret):
    """The secret of one group's one epoch: 32 random bytes, made by the service."""


class ContentKey(Secret):
    """For the product's own encryption of the group's content: 32 bytes."""


class HistoryKey(Secret):
    """AES-256-GCM key of the link to the epoch before: 32 bytes."""


class EpochKeys:
    """A group secret and everything derived from it, in its organisation, group and epoch."""

    __slots__ = ("epoch", "group", "organisation", "public_key", "secret")

    def __init__(self, secret: GroupSecret, organisation: bytes, group: bytes, epoch: int) -> None:
        self.secret = secret
        self.organisation = organisation
        self.group = group
        self.epoch = epoch
        self.public_key = hpke.public_key(self.seed)

    def __repr__(self) -> str:
        return f"<EpochKeys of epoch {self.epoch}>"

    @property
    def seed(self) -> XWingSeed:
        """Private half of the group's key pair."""
        return XWingSeed(self._derive(Label.DERIVE_GROUP_KEY))

    @property
    def content_key(self) -> ContentKey:
        return ContentKey(self._derive(Label.DERIVE_CONTENT_KEY))

    @property
    def history_key(self) -> HistoryKey:
        return HistoryKey(self._derive(Label.DERIVE_HISTORY_KEY))

    def _derive(self, label: Label) -> bytes:
        info = group_context(label, self.organisation, self.group, self.epoch)
        return HKDF(SHA256(), 32, salt=None, info=info).derive(self.secret.reveal())
