"""Makes `twistd swarmnode` and `twist swarmnode` known to Twisted."""

from twisted.application.service import ServiceMaker

swarmnode = ServiceMaker(
    "swarmnode",
    "swarmnode.tap",
    "A peer node that runs large language models together with others.",
    "swarmnode",
)
