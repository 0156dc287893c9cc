"""Running a request: one sink for the events, one handle to steer it."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IEventSink(Interface):
    """Receives the ordered events of one request (`values.generation.GenerationEvent`)."""

    def event(event):
        """Take one event. After `Finished` or `Failed` none follows. Must not raise."""


class IGeneration(Interface):
    """A request under way. All three calls may come at any time, also after the end."""

    def pause():
        """Stop sending events soon; what is already on its way still arrives."""

    def resume():
        """Go on after `pause`."""

    def cancel():
        """End it within one step. The sink gets no further event."""


class IGenerator(Interface):
    """Something that runs requests for the models it names: local workers, a provider."""

    name = Attribute("what `ModelCard.backend` says for its models")

    def cards():
        """The models it can run now, as a tuple of `values.cards.ModelCard`."""

    def generate(request, sink):
        """Run a `GenerationRequest`; deliver events to the `IEventSink`; return an `IGeneration`.

        Never raises for what the request says: faults arrive as `Failed`.
        """
