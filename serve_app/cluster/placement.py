"""Where in the cluster an actor runs."""

from ray._common.constants import HEAD_NODE_RESOURCE_NAME

# Options of an actor that must be on the head node. So small a share leaves room for others.
ON_HEAD_NODE = {"resources": {HEAD_NODE_RESOURCE_NAME: 0.001}}
