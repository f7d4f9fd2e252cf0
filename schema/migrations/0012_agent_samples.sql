CREATE TABLE `tenant_samples` (
	`tenant_id` text NOT NULL,
	`minute` integer NOT NULL,
	`memory_mi_b` integer NOT NULL,
	`cpu_percent` integer NOT NULL,
	`disk_mi_b` integer,
	`requests` integer,
	PRIMARY KEY(`tenant_id`, `minute`)
);
