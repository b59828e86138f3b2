"""The count of what was lost or harmed in one file, and the line that says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Damage:
    """Counts frames (in a video: packets, where one holds one frame), by what happened to them."""

    name: str
    lost: int = 0
    """Could not be decoded or read."""
    missing: int = 0
    """Are not in the file, though its header or its rhythm says that they were."""
    harmed: int = 0
    """Were decoded with errors, and are shown."""
    misplaced: int = 0
    """Had a time that cannot be: placed by counting on, or left out."""
    ended: tuple[float, float] | None = None
    """Where the frames ended, and where they should have, in seconds."""

    @property
    def total(self) -> int:
        return self.lost + self.missing + self.harmed + self.misplaced + (self.ended is not None)

    def __str__(self) -> str:
        """One line, such as `12 frames of x.mp4 could not be decoded`; empty without damage."""
        counts = (
            (self.lost, "could not be decoded"),
            (self.missing, "went missing"),
            (self.harmed, "decoded with errors"),
            (self.misplaced, "had a wrong time"),
        )
        parts = [f"{count} {what}" for count, what in counts if count]
        if parts:
            count, _, what = parts[0].partition(" ")
            parts[0] = f"{count} frame{'s' * (count != '1')} of {self.name} {what}"
        if self.ended is not None:
            parts.append(f"{'it' if parts else self.name} ends at {self.ended[0]:.1f} s, not at {self.ended[1]:.1f} s")
        return ", ".join(parts)
