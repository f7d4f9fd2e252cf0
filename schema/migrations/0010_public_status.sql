CREATE TABLE `status_days` (
	`component` text NOT NULL,
	`day` integer NOT NULL,
	`good` integer DEFAULT 0 NOT NULL,
	`poor` integer DEFAULT 0 NOT NULL,
	`bad` integer DEFAULT 0 NOT NULL,
	`last_minute` integer NOT NULL,
	PRIMARY KEY(`component`, `day`)
);
--> statement-breakpoint
CREATE TABLE `status_incidents` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`component` text NOT NULL,
	`level` text NOT NULL,
	`started_at` integer NOT NULL,
	`ended_at` integer
);
--> statement-breakpoint
CREATE INDEX `status_incidents_time` ON `status_incidents` (`started_at`);--> statement-breakpoint
CREATE INDEX `status_incidents_open` ON `status_incidents` (`component`,`ended_at`);--> statement-breakpoint
CREATE INDEX `audit_actor` ON `audit` (`actor`,`id`);--> statement-breakpoint
CREATE INDEX `audit_action` ON `audit` (`action`,`id`);