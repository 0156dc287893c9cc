"""Steering a generation that may not be known yet, that may change, or that never was."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.generation import IGeneration


@implementer(IGeneration)
class Steering:
    """Passes `pause`, `resume` and `cancel` on to the generation that is attached; one that is attached
    later is told then what was asked for before."""

    def __init__(self) -> None:
        self._generation: Any = None
        self._paused = False
        self._cancelled = False

    def attach(self, generation: Any) -> None:
        """Steer this generation from now on."""
        self._generation = generation
        if self._cancelled:
            generation.cancel()
        elif self._paused:
            generation.pause()

    def release(self) -> None:
        """That generation is over; another one may be attached."""
        self._generation = None

    def pause(self) -> None:
        """As `IGeneration` says."""
        self._paused = True
        if self._generation is not None:
            self._generation.pause()

    def resume(self) -> None:
        """As `IGeneration` says."""
        self._paused = False
        if self._generation is not None:
            self._generation.resume()

    def cancel(self) -> None:
        """As `IGeneration` says."""
        self._cancelled = True
        if self._generation is not None:
            self._generation.cancel()
