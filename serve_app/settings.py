"""Every setting of the service, with its default: what `args:` in serve_config.yaml may hold."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.params import LABEL_MODES, LabelMode, LabelText

APP_NAME = "echomimic"

# If a manager's lease ends further ahead than this, its clock is ahead, or was when it died.
LONGEST_LEASE_S = 3600.0

MEBIBYTE = 1024 * 1024
DAY_S = 24 * 3600


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def __setstate__(self, state: dict[Any, Any]) -> None:
        # Processes of an earlier release pickle fewer settings.
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        super().__setstate__({**state, "__dict__": {**defaults, **state["__dict__"]}})


class EngineSettings(_Settings):
    """How many replicas of one engine run, and what each takes from the cluster."""

    min_replicas: int = Field(1, ge=0, description="Replicas kept when no task waits; 0 scales to zero.")
    max_replicas: int = Field(2, ge=1, description="Maximum number of replicas.")
    downscale_delay_s: float = Field(60, ge=0, description="Seconds a replica idles before it is stopped.")
    # So that two replicas and two ingress replicas (0.1 each) fit on two cores.
    num_cpus: float = Field(0.9, ge=0, description="CPUs that Ray reserves per replica.")
    num_gpus: float = Field(0, ge=0, description="GPUs that Ray reserves per replica.")

    @model_validator(mode="after")
    def _check_bounds(self) -> "EngineSettings":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas is {self.min_replicas}, more than max_replicas, which is {self.max_replicas}"
            )
        return self


class EchoMimicSettings(EngineSettings):
    """The diffusion engine: its replicas, its weights and its computation."""

    max_replicas: int = Field(1, ge=1, description="Maximum number of replicas.")
    num_gpus: float = Field(
        1, ge=0, description="GPUs that Ray reserves per replica; with 0 it runs on the CPU, very slowly."
    )
    weights_dir: Path = Field(Path("weights"), description="Folder of the published weights.")
    variant: Literal["acc", "base"] = Field("acc", description="Accelerated (6 steps) or base (30 steps).")
    preset: Literal["official", "tiny"] = Field(
        "official", description="The published network, or a small one for tests."
    )
    precision: Literal["bf16", "fp16", "fp32"] | None = Field(
        None, description="Number format; by default bf16 on a GPU and fp32 on the CPU."
    )
    compiled: bool = Field(False, description="Compile the networks for 512 × 512 when a replica starts.")
    low_memory: bool = Field(False, description="Keep idle networks off the GPU.")

    @field_validator("weights_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


class Settings(_Settings):
    """The builder's arguments."""

    engine: str = Field("auto", description="The engine of requests that name none.")
    data_dir: Path = Field(Path("output"), description="Uploads, videos and the task journal live below it.")
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the task journal; by default SQLite below data_dir."
    )
    max_upload_bytes: int = Field(64 * MEBIBYTE, ge=1, description="Largest request body; more is a 413.")
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins whose pages may call routes beyond the three that are open to every page."
    )
    allowed_hosts: tuple[str, ...] = Field(
        ("127.0.0.1", "localhost"),
        description="Accepted values of the Host header; '*' accepts any.",
    )
    api_keys: Path | None = Field(
        None, description="File of hashed API keys; with it every route except /health requires one."
    )
    signed_url_lifetime_s: float = Field(600, ge=1, description="Seconds a signed URL opens its file.")
    public_without_keys: bool = Field(
        False, description="Permit listening without API keys on an address that other machines can reach."
    )
    ingress_replicas: int = Field(2, ge=1, description="Replicas of the REST ingress.")
    # Replicas report twice a second.
    lease_s: float = Field(
        15, ge=2, le=LONGEST_LEASE_S, description="Seconds without a report that end an attempt."
    )
    stall_timeout_s: float = Field(
        300, gt=0, description="Seconds without progress after which an attempt is given up."
    )
    max_failures: int = Field(3, ge=1, description="Failures of the machinery after which a task fails.")
    max_pending: int = Field(1000, ge=1, description="Maximum number of waiting tasks; more are a 429.")
    max_pending_per_key: int = Field(
        100, ge=1, description="Maximum number of waiting tasks per API key; more are a 429."
    )
    min_free_bytes: int = Field(
        512 * MEBIBYTE,
        ge=0,
        description="With less space on the disk of data_dir, new tasks are a 507 and accepted ones wait.",
    )
    keep_tasks_s: float = Field(
        7 * DAY_S, ge=0, description="Seconds a finished task is kept, with its video."
    )
    keep_uploads_s: float = Field(3600, ge=0, description="Seconds the uploads of a finished task are kept.")
    allow_private_webhooks: bool = Field(
        False, description="Whether webhooks may call this machine and private networks."
    )
    content_producer: str = Field(
        "",
        # Linux passes ffmpeg no argument of 128 KiB.
        max_length=1000,
        description="Name or code of the provider of this service, for the metadata of its videos.",
    )
    min_label: LabelMode = Field(
        "none", description="Least visible label that a request may choose: none, start or corner."
    )
    label_text: LabelText = Field("AI", description="What the visible label says.")
    require_consent: bool = Field(
        False, description="Refuse requests that do not say that the person shown agrees."
    )
    echomimic: EchoMimicSettings = Field(EchoMimicSettings(), description="The diffusion engine.")
    preview: EngineSettings = Field(EngineSettings(), description="The CPU preview engine.")

    @field_validator("allowed_hosts")
    @classmethod
    def _lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in value)

    @field_validator("data_dir", "api_keys")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        # Replicas and the manager run in other working directories than the builder.
        return None if value is None else value.expanduser().absolute()

    def of(self, engine: str) -> EngineSettings:
        """The settings of a registered engine; the defaults if it has no field of its own."""
        settings: EngineSettings = getattr(self, engine, EngineSettings())
        return settings

    @property
    def labels(self) -> tuple[LabelMode, ...]:
        """The visible labels that a request may choose; the first one is the default."""
        return LABEL_MODES[LABEL_MODES.index(self.min_label) :]

    @property
    def journal_url(self) -> str:
        """SQLAlchemy URL of the task journal."""
        return self.database_url or f"sqlite:///{self.data_dir / 'tasks.db'}"

    @property
    def url_secret_file(self) -> Path:
        """The file with the secret of signed URLs, the same for all ingress replicas."""
        return self.data_dir / "url_secret"
