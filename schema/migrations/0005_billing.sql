CREATE TABLE `billing_accounts` (
	`owner_id` text PRIMARY KEY NOT NULL,
	`opened_at` integer NOT NULL,
	`trial_ends_at` integer NOT NULL,
	`customer_id` text,
	`subscription_id` text,
	`plan` text,
	`standing` text,
	`period_ends_at` integer,
	`cancels_at` integer,
	`owing_since` integer,
	`ended_at` integer,
	`fetched_at` integer,
	`version` integer DEFAULT 1 NOT NULL,
	`review_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `billing_accounts_customer` ON `billing_accounts` (`customer_id`);--> statement-breakpoint
CREATE INDEX `billing_accounts_review` ON `billing_accounts` (`review_at`);--> statement-breakpoint
CREATE TABLE `billing_checkouts` (
	`owner_id` text PRIMARY KEY NOT NULL,
	`attempt` text NOT NULL,
	`plan` text NOT NULL,
	`started_at` integer NOT NULL,
	`session_id` text
);
--> statement-breakpoint
CREATE TABLE `billing_events` (
	`id` text PRIMARY KEY NOT NULL,
	`type` text NOT NULL,
	`owner_id` text,
	`created_at` integer NOT NULL,
	`received_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `billing_notices` (
	`owner_id` text NOT NULL,
	`kind` text NOT NULL,
	`cause` integer NOT NULL,
	`at` integer NOT NULL,
	PRIMARY KEY(`owner_id`, `kind`, `cause`)
);
--> statement-breakpoint
ALTER TABLE `tenants` ADD `held_from` text;