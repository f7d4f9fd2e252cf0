CREATE TABLE `tenant_status` (
	`tenant_id` text PRIMARY KEY NOT NULL,
	`at` integer NOT NULL,
	`report` text NOT NULL
);
