-- A journal as schema version 3 was written on SQLite: done, failed with a webhook due, cancelled, running, waiting.
CREATE TABLE managers (
	name VARCHAR(64) NOT NULL,
	epoch INTEGER NOT NULL,
	alive_until FLOAT NOT NULL,
	PRIMARY KEY (name),
	UNIQUE (epoch)
);
INSERT INTO "managers" VALUES('the head node',1,1800000045.0);
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	minimum_reader INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(3,3);
CREATE TABLE tasks (
	sequence INTEGER NOT NULL,
	id VARCHAR(36) NOT NULL,
	engine VARCHAR(32) NOT NULL,
	params JSON NOT NULL,
	requested_device VARCHAR(32) NOT NULL,
	created_at FLOAT NOT NULL,
	revision INTEGER DEFAULT '0' NOT NULL,
	priority INTEGER DEFAULT '0' NOT NULL,
	owner VARCHAR(64),
	idempotency_key VARCHAR(255),
	fingerprint VARCHAR(64),
	status VARCHAR(16) NOT NULL,
	stage VARCHAR(16),
	progress FLOAT NOT NULL,
	attempt INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	ticket_id VARCHAR(36),
	holder VARCHAR(64),
	device VARCHAR(32),
	frames_requested INTEGER,
	frames_generated INTEGER NOT NULL,
	audio_seconds FLOAT,
	warnings JSON NOT NULL,
	video VARCHAR(64),
	error TEXT,
	cancelled BOOLEAN DEFAULT 0 NOT NULL,
	webhook_url TEXT,
	webhook_failures INTEGER DEFAULT '0' NOT NULL,
	webhook_at FLOAT,
	started_at FLOAT,
	finished_at FLOAT,
	notices JSON,
	PRIMARY KEY (sequence),
	UNIQUE (id)
);
INSERT INTO "tasks" VALUES(1,'done','preview','{"width": 512, "height": 512, "length": 48, "seed": 7, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cuda',1800000004.5,3,0,NULL,NULL,NULL,'completed',NULL,1.0,1,0,'ticket 1','the head node','cpu',48,48,6.41,'["device ''cuda'' was asked for; the preview engine ran on ''cpu''", "the audio lasts 6.4 s; the video was cut to 2.0 s because length is 48 frames"]','attempt-1.mp4',NULL,0,'https://example.org/hook',0,NULL,1800000007.5,1800000013.5,'[{"level": "warning", "code": "device_differs", "values": {"device": "cpu", "engine": "preview", "requested": "cuda"}}, {"level": "warning", "code": "audio_cut", "values": {"audio_seconds": 6.41, "length": 48, "video_seconds": 2.0}}]');
INSERT INTO "tasks" VALUES(2,'due','preview','{"width": 512, "height": 512, "length": 48, "seed": 7, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cuda',1800000015.0,2,0,'ann','key 1','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','failed',NULL,0.0,1,0,'ticket 2','the head node',NULL,NULL,0,NULL,'[]',NULL,'reference_image: the reference image is damaged: image file is truncated (allowed: JPEG, PNG, WebP, BMP, TIFF or GIF, at most 64 megapixels)',0,'https://example.org/hook',0,1800000021.0,1800000018.0,1800000021.0,'[{"level": "error", "code": "image_damaged", "values": {"field": "reference_image", "reason": "image file is truncated"}}]');
INSERT INTO "tasks" VALUES(3,'cancelled','preview','{"width": 512, "height": 512, "length": 48, "seed": 7, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cuda',1800000022.5,1,0,NULL,NULL,NULL,'failed',NULL,0.0,0,0,NULL,NULL,NULL,NULL,0,NULL,'[]',NULL,'cancelled',1,NULL,0,NULL,NULL,1800000024.0,'[{"level": "error", "code": "cancelled", "values": {}}]');
INSERT INTO "tasks" VALUES(4,'running','preview','{"width": 512, "height": 512, "length": 48, "seed": 7, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cuda',1800000027.0,1,2,NULL,NULL,NULL,'processing','preparing',0.0,1,0,'ticket 3','the head node',NULL,NULL,0,NULL,'["unknown field ''lenght'' was ignored"]',NULL,NULL,0,NULL,0,NULL,1800000030.0,NULL,'[{"level": "warning", "code": "unknown_field", "values": {"name": "lenght"}}]');
INSERT INTO "tasks" VALUES(5,'waiting','preview','{"width": 512, "height": 512, "length": 48, "seed": 7, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cuda',1800000036.0,0,0,'ann','key 2','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','pending','queued',0.0,0,0,NULL,NULL,NULL,NULL,0,NULL,'["unknown field ''lenght'' was ignored"]',NULL,NULL,0,NULL,0,NULL,NULL,NULL,'[{"level": "warning", "code": "unknown_field", "values": {"name": "lenght"}}]');
CREATE UNIQUE INDEX ix_tasks_owner_idempotency_key ON tasks (coalesce(owner, ''), idempotency_key);
CREATE INDEX ix_tasks_status ON tasks (status);
CREATE INDEX ix_tasks_finished_at ON tasks (finished_at);
CREATE INDEX ix_tasks_webhook_at ON tasks (webhook_at);
