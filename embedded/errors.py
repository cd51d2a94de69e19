"""What can go wrong while the embedded stack starts; each text names the remedy."""


class EmbeddedError(Exception):
    """The embedded stack cannot start or go on; the text says why and what to do."""


class StartFailedError(EmbeddedError):
    """A component ended, or did not become ready in time."""


class StopRequestedError(EmbeddedError):
    """A signal asked to stop while the stack was still starting."""
