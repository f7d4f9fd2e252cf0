CREATE TABLE `alerts` (
	`kind` text NOT NULL,
	`subject` text NOT NULL,
	`detail` text NOT NULL,
	`first_at` integer NOT NULL,
	`last_at` integer NOT NULL,
	`times` integer DEFAULT 1 NOT NULL,
	`resolved_at` integer,
	PRIMARY KEY(`kind`, `subject`)
);
--> statement-breakpoint
CREATE TABLE `ledger` (
	`tenant_id` text NOT NULL,
	`host_id` text NOT NULL,
	`epoch` integer NOT NULL,
	`number` integer NOT NULL,
	`at` integer NOT NULL,
	`type` text NOT NULL,
	`generation` integer NOT NULL,
	`jti` text NOT NULL,
	`command_hash` text NOT NULL,
	`previous` text NOT NULL,
	`hash` text NOT NULL,
	PRIMARY KEY(`tenant_id`, `host_id`, `epoch`, `number`)
);
--> statement-breakpoint
ALTER TABLE `hosts` ADD `generation` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `hosts` ADD `desired_hash` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `keyset` text;