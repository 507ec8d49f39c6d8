"""How the server's own spans are recognised, wherever they have been: its receiver takes none of them.

Each batch that is stored makes spans. If these came back, by a collector that sends everything on to here, they would
make the next batch, and so on.
"""

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

# Either is enough: processors on the way change resources, and some forms have no scopes.
SCOPE = "qualitrace.server"
DISTRO_KEY, DISTRO = "telemetry.distro.name", "qualitrace-server"


def is_of_server(resource: Resource) -> bool:
    """Whether a qualitrace server, this one or another, is what recorded something."""
    return any(
        attribute.key == DISTRO_KEY and attribute.value.string_value == DISTRO for attribute in resource.attributes
    )
