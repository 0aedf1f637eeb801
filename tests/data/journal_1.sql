-- A journal as the first release wrote it, on SQLite.
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO schema_version VALUES(1);
CREATE TABLE tasks (
	sequence INTEGER NOT NULL,
	id VARCHAR(36) NOT NULL,
	engine VARCHAR(32) NOT NULL,
	params JSON NOT NULL,
	requested_device VARCHAR(32) NOT NULL,
	created_at FLOAT NOT NULL,
	status VARCHAR(16) NOT NULL,
	stage VARCHAR(16),
	progress FLOAT NOT NULL,
	attempt INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	ticket_id VARCHAR(36),
	device VARCHAR(32),
	frames_requested INTEGER,
	frames_generated INTEGER NOT NULL,
	audio_seconds FLOAT,
	warnings JSON NOT NULL,
	video VARCHAR(64),
	error TEXT,
	started_at FLOAT,
	finished_at FLOAT,
	PRIMARY KEY (sequence),
	UNIQUE (id)
);
INSERT INTO tasks VALUES(1,'waiting','preview','{"width": 512, "height": 512, "length": 1200, "seed": 420, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cuda',1000.0,'pending','queued',0.0,0,0,NULL,NULL,NULL,0,NULL,'[]',NULL,NULL,NULL,NULL);
INSERT INTO tasks VALUES(2,'running','preview','{"width": 512, "height": 512, "length": 1200, "seed": 420, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cpu',1001.0,'processing','preparing',0.0,2,1,'ticket',NULL,NULL,0,NULL,'[]',NULL,NULL,1002.0,NULL);
INSERT INTO tasks VALUES(3,'done','preview','{"width": 512, "height": 512, "length": 1200, "seed": 420, "facemask_dilation_ratio": 0.1, "facecrop_dilation_ratio": 0.5, "context_frames": 12, "context_overlap": 3, "cfg": 1.0, "steps": 6, "fps": 24}','cpu',1003.0,'completed',NULL,1.0,1,0,'t','cpu',48,48,6.4,'["a warning"]','attempt-1.mp4',NULL,1004.0,1010.5);
CREATE INDEX ix_tasks_status ON tasks (status);
