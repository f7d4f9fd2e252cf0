CREATE TABLE `tenant_salts` (
	`tenant_id` text PRIMARY KEY NOT NULL,
	`salt` text,
	`created_at` integer NOT NULL,
	`erased_at` integer,
	`erased_under` integer
);
--> statement-breakpoint
CREATE TABLE `vault_wraps` (
	`key_version` integer PRIMARY KEY NOT NULL,
	`wraps` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `secrets` ADD `key_commitment` text;--> statement-breakpoint
ALTER TABLE `secrets` ADD `delivered_at` integer;