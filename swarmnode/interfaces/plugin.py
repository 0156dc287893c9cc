"""What every plug-in says of itself before anything of it is imported."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IPluginDescription(Interface):
    """A cheap description: importing it must import nothing heavy (DESIGN 1).

    `swarmnode.plugins.describe.Description` is a ready implementation.
    """

    name = Attribute("short, unique among plug-ins of its kind: lower case, digits, dashes")
    summary = Attribute("one line for `swarmnode plugins`")
    factory = Attribute("dotted path `package.module:attribute` of the real thing, imported when used")
    requires = Attribute("tuple of module names that must be importable for it to be available")
