CREATE TABLE `deletion_receipts` (
	`id` text PRIMARY KEY NOT NULL,
	`tenant_id` text NOT NULL,
	`owner_id` text,
	`slug` text NOT NULL,
	`receipt` text NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `deletion_receipts_tenantId_unique` ON `deletion_receipts` (`tenant_id`);--> statement-breakpoint
CREATE INDEX `deletion_receipts_owner` ON `deletion_receipts` (`owner_id`);--> statement-breakpoint
CREATE TABLE `orphans` (
	`what` text PRIMARY KEY NOT NULL,
	`first_seen_at` integer NOT NULL,
	`removed_at` integer
);
--> statement-breakpoint
CREATE TABLE `receipt_keys` (
	`kid` text PRIMARY KEY NOT NULL,
	`holder` text NOT NULL,
	`jwk` text NOT NULL,
	`first_used_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `slug_locks` (
	`slug` text PRIMARY KEY NOT NULL,
	`owner_id` text NOT NULL,
	`until` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `tenant_data_wishes` (
	`tenant_id` text PRIMARY KEY NOT NULL,
	`restores` integer DEFAULT 0 NOT NULL,
	`restore_from` text,
	`backups` integer DEFAULT 0 NOT NULL,
	`delete_at` integer,
	`move_to` text,
	`move_asked_at` integer,
	`move_down_ms` integer
);
--> statement-breakpoint
CREATE INDEX `tenant_data_wishes_delete` ON `tenant_data_wishes` (`delete_at`);--> statement-breakpoint
CREATE TABLE `tenant_storage` (
	`tenant_id` text PRIMARY KEY NOT NULL,
	`used_bytes` integer NOT NULL,
	`limit_bytes` integer NOT NULL,
	`strays` integer NOT NULL,
	`snapshots` text NOT NULL,
	`backup` text,
	`restored` text,
	`at` integer NOT NULL
);
