"""Text that others wrote, safe to show: it must not steer a terminal or hide a part of itself."""


def visible(text: str) -> str:
    """Control, format (such as the turning of the writing direction) and odd space characters,
    as escapes: `\\x1b`, `\\u202e`."""
    return "".join(each if each.isprintable() else _escape(ord(each)) for each in text)


def _escape(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
