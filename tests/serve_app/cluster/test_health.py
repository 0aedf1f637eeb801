"""Why an engine does not work is said in words."""

from typing import Any

from ray.serve._private.common import DeploymentStatus, DeploymentStatusTrigger
from ray.serve.schema import DeploymentStatusOverview

from serve_app.cluster.health import diagnose
from serve_app.schemas import EngineHealth
from serve_app.settings import EngineSettings

LAPTOP = {"CPU": 2.0, "memory": 1e9}
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}


def deployment(message="", **replica_states):
    states: Any = replica_states  # Serve names them by strings, whatever its annotation says
    return DeploymentStatusOverview(
        status=DeploymentStatus.UPDATING,
        status_trigger=DeploymentStatusTrigger.CONFIG_UPDATE_STARTED,
        replica_states=states,
        message=message,
    )


def test_a_running_replica_makes_an_engine_ready():
    assert diagnose(deployment(RUNNING=2), EngineSettings(), [LAPTOP]) == EngineHealth(2, ready=True)


def test_a_replica_that_no_node_can_hold_is_explained():
    health = diagnose(deployment(STARTING=1), EngineSettings(num_gpus=1), [LAPTOP, {"CPU": 0.5, "GPU": 1}])
    assert not health.ready
    assert health.reason == (
        "no replica can be placed: it needs 0.9 CPU and 1 GPU, and no node of the cluster has both"
    )


def test_a_replica_that_starts_is_waited_for():
    health = diagnose(deployment(STARTING=1), EngineSettings(num_gpus=1), [LAPTOP, GPU_NODE])
    assert health == EngineHealth(0, ready=False, reason="its first replica is starting")


def test_a_replica_that_starts_slowly_has_not_failed():
    message = (
        "Deployment 'Preview' in application 'echomimic' has 1 replicas that have taken more than 30s to "
        "initialize.\nThis may be caused by a slow __init__ or reconfigure method."
    )
    health = diagnose(deployment(message, STARTING=1), EngineSettings(), [LAPTOP])
    assert health.reason == "its first replica is starting"


def test_serve_s_own_message_is_passed_on():
    health = diagnose(deployment("the constructor failed", STARTING=1), EngineSettings(), [LAPTOP])
    assert health.reason == "the constructor failed"


def test_of_a_stack_trace_only_the_exception_is_told():
    message = (
        "A replica failed to start with exception. Error:\n"
        '  File "/somewhere/checkpoints.py", line 144, in _find\n'
        "models.errors.CheckpointError: no checkpoint file reference_unet in weights"
    )
    health = diagnose(deployment(message, STARTING=1), EngineSettings(), [LAPTOP])
    assert health.reason == (
        "its replica failed to start: CheckpointError: no checkpoint file reference_unet in weights"
    )


def test_an_engine_scaled_to_zero_is_ready_for_its_first_task():
    health = diagnose(deployment(), EngineSettings(min_replicas=0), [LAPTOP])
    assert health.ready
    assert "the first task starts a replica" in health.reason
