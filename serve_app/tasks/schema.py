"""The tables of the task journal, and the migrations from those of earlier releases.

Two numbers go with a journal: the version of its schema, and the lowest version that a release must know to
work with it. As long as a step only adds what a release need not know (tables, and columns that may be NULL
or have a default), releases of both versions can use the journal. Any other step, such as a new status or
stage, raises `MINIMUM_READER` to its own version.
"""

import itertools

import sqlalchemy as sa

_metadata = sa.MetaData()

_version = sa.Table(
    "schema_version",
    _metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("minimum_reader", sa.Integer, nullable=False),
)

tasks = sa.Table(
    "tasks",
    _metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(36), unique=True, nullable=False),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("requested_device", sa.String(32), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.String(64)),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("fingerprint", sa.String(64)),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("stage", sa.String(16)),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("ticket_id", sa.String(36)),
    sa.Column("holder", sa.String(64)),
    sa.Column("device", sa.String(32)),
    sa.Column("frames_requested", sa.Integer),
    sa.Column("frames_generated", sa.Integer, nullable=False),
    sa.Column("audio_seconds", sa.Float),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("video", sa.String(64)),
    sa.Column("error", sa.Text),
    sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("webhook_url", sa.Text),
    sa.Column("webhook_failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("webhook_at", sa.Float, index=True),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float, index=True),
    # Warnings and error as data; NULL if they were written by a release that had only sentences.
    sa.Column("notices", sa.JSON(none_as_null=True)),
    sa.Column("consent", sa.Boolean, nullable=False, server_default=sa.false()),
)

# Every manager that uses this journal; the newer a manager, the higher its `epoch`.
managers = sa.Table(
    "managers",
    _metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False, unique=True),
    sa.Column("alive_until", sa.Float, nullable=False),
)

# Two owners may use the same key, and without API keys there is a single owner, without a name.
sa.Index(
    "ix_tasks_owner_idempotency_key",
    sa.func.coalesce(tasks.c.owner, ""),
    tasks.c.idempotency_key,
    unique=True,
)

# The migrations from version 1 to 2, from 2 to 3, and so on; never changed once released.
_STEPS = (
    (
        "CREATE TABLE managers (name VARCHAR(64) NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE, "
        "alive_until FLOAT NOT NULL)",
        "ALTER TABLE tasks ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE tasks ADD COLUMN holder VARCHAR(64)",
        "ALTER TABLE tasks ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE tasks ADD COLUMN owner VARCHAR(64)",
        "ALTER TABLE tasks ADD COLUMN idempotency_key VARCHAR(255)",
        "ALTER TABLE tasks ADD COLUMN fingerprint VARCHAR(64)",
        "ALTER TABLE tasks ADD COLUMN cancelled BOOLEAN NOT NULL DEFAULT false",
        "ALTER TABLE tasks ADD COLUMN webhook_url TEXT",
        "ALTER TABLE tasks ADD COLUMN webhook_failures INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE tasks ADD COLUMN webhook_at FLOAT",
        "CREATE INDEX ix_tasks_webhook_at ON tasks (webhook_at)",
        "CREATE INDEX ix_tasks_finished_at ON tasks (finished_at)",
        "CREATE UNIQUE INDEX ix_tasks_owner_idempotency_key ON tasks (coalesce(owner, ''), idempotency_key)",
    ),
    (
        # Releases before this step refuse every journal that is newer than they are.
        "ALTER TABLE schema_version ADD COLUMN minimum_reader INTEGER NOT NULL DEFAULT 3",
        "ALTER TABLE tasks ADD COLUMN notices JSON",
    ),
    ("ALTER TABLE tasks ADD COLUMN consent BOOLEAN NOT NULL DEFAULT false",),
)

SCHEMA_VERSION = len(_STEPS) + 1
MINIMUM_READER = 3


def migrate(connection: sa.Connection) -> None:
    """Bring a journal of any earlier release, or an empty database, to the schema of this one.

    Raises:
        RuntimeError: a newer release wrote the journal, and this one cannot use it.
    """
    _version.create(connection, checkfirst=True)
    found = connection.execute(sa.select(_version.c.version)).scalar_one_or_none()
    if found is None:
        # The table may exist without a row, if the first start of an earlier release was interrupted.
        _version.drop(connection)
        _metadata.create_all(connection)
        connection.execute(_version.insert().values(version=SCHEMA_VERSION, minimum_reader=MINIMUM_READER))
    elif found < SCHEMA_VERSION:
        _step_forward(connection, found)
    elif found > SCHEMA_VERSION:
        _check_readable(connection, found)
    # Otherwise nothing is written: a full disk has no room for it.


def _step_forward(connection: sa.Connection, found: int) -> None:
    # This comes first because it makes Python's sqlite3 begin a transaction, which then covers all steps.
    connection.execute(_version.update().values(version=SCHEMA_VERSION))
    for statement in itertools.chain(*_STEPS[found - 1 :]):
        connection.execute(sa.text(statement))
    connection.execute(_version.update().values(minimum_reader=MINIMUM_READER))


def _check_readable(connection: sa.Connection, found: int) -> None:
    minimum = connection.execute(sa.select(_version.c.minimum_reader)).scalar_one()
    if minimum > SCHEMA_VERSION:
        raise RuntimeError(
            f"a newer release wrote the task journal: it has schema version {found} and needs a release that "
            f"knows version {minimum}; this one knows versions up to {SCHEMA_VERSION}"
        )
