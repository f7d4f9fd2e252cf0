CREATE TABLE `channel_conversations` (
	`channel_id` text NOT NULL,
	`conversation` text NOT NULL,
	`lease` text,
	`lease_until` integer DEFAULT 0 NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_attempt_at` integer DEFAULT 0 NOT NULL,
	`last_error` text,
	`stopped_at` integer,
	`stopped_why` text,
	PRIMARY KEY(`channel_id`, `conversation`)
);
--> statement-breakpoint
CREATE TABLE `channel_counts` (
	`channel_id` text NOT NULL,
	`day` text NOT NULL,
	`what` text NOT NULL,
	`n` integer NOT NULL,
	PRIMARY KEY(`channel_id`, `day`, `what`)
);
--> statement-breakpoint
CREATE TABLE `channel_messages` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`channel_id` text NOT NULL,
	`conversation` text NOT NULL,
	`update_id` text NOT NULL,
	`position` integer NOT NULL,
	`sender_id` text NOT NULL,
	`sent_at` integer NOT NULL,
	`received_at` integer NOT NULL,
	`digest` text NOT NULL,
	`body` text,
	`state` text NOT NULL,
	`ended_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `channel_messages_update` ON `channel_messages` (`channel_id`,`update_id`);--> statement-breakpoint
CREATE INDEX `channel_messages_queue` ON `channel_messages` (`channel_id`,`conversation`,`state`,`position`);--> statement-breakpoint
CREATE INDEX `channel_messages_sender` ON `channel_messages` (`channel_id`,`sender_id`,`sent_at`);--> statement-breakpoint
CREATE INDEX `channel_messages_ended` ON `channel_messages` (`state`,`ended_at`);--> statement-breakpoint
CREATE TABLE `channel_people` (
	`channel_id` text NOT NULL,
	`sender_id` text NOT NULL,
	`added_at` integer NOT NULL,
	PRIMARY KEY(`channel_id`, `sender_id`)
);
--> statement-breakpoint
CREATE TABLE `channel_refusals` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`channel_id` text NOT NULL,
	`at` integer NOT NULL,
	`why` text NOT NULL,
	`sender_id` text
);
--> statement-breakpoint
CREATE INDEX `channel_refusals_channel` ON `channel_refusals` (`channel_id`,`id`);--> statement-breakpoint
CREATE TABLE `channels` (
	`id` text PRIMARY KEY NOT NULL,
	`tenant_id` text NOT NULL,
	`kind` text NOT NULL,
	`account_id` text NOT NULL,
	`account` text NOT NULL,
	`created_at` integer NOT NULL,
	`registered_at` integer,
	`register_at` integer,
	`register_attempts` integer DEFAULT 0 NOT NULL,
	`failure` text,
	`pairing_hash` text,
	`pairing_expires_at` integer,
	`pairing_tries` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `channels_tenant` ON `channels` (`tenant_id`,`kind`);--> statement-breakpoint
CREATE UNIQUE INDEX `channels_account` ON `channels` (`kind`,`account_id`);