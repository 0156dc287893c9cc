"""The description: read by every `swarmnode` command that lists plug-ins, so it imports nothing heavy."""

from swarmnode.plugins.describe import Provider

shout = Provider(
    name="shout",
    summary="Repeats what it is told, in capitals",
    factory="swarmnode_shout.provider:make_provider",
    key_variables=("SHOUT_API_KEY",),
)
