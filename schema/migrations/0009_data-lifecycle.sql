CREATE TABLE `account_deletions` (
	`user_id` text PRIMARY KEY NOT NULL,
	`email` text,
	`asked_at` integer NOT NULL,
	`billing_ended_at` integer,
	`done_at` integer,
	`receipt` text,
	`link_hash` text,
	`kept_until` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `account_deletions_linkHash_unique` ON `account_deletions` (`link_hash`);--> statement-breakpoint
CREATE INDEX `account_deletions_done` ON `account_deletions` (`done_at`);--> statement-breakpoint
CREATE TABLE `host_leftovers` (
	`host_id` text PRIMARY KEY NOT NULL,
	`at` integer NOT NULL,
	`items` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `sweeps` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`found` integer NOT NULL,
	`removed` integer NOT NULL,
	`report` text NOT NULL
);
--> statement-breakpoint
ALTER TABLE `tenant_data_wishes` ADD `delete_from` text;