"""Errors of the approver's command; the text says what to do."""


class ApproverError(Exception):
    """Nothing was signed or written."""
