CREATE TABLE `rollouts` (
	`id` text PRIMARY KEY NOT NULL,
	`runtime` text NOT NULL,
	`image` text,
	`batch` integer NOT NULL,
	`state` text NOT NULL,
	`detail` text,
	`started_at` integer NOT NULL,
	`ended_at` integer
);
--> statement-breakpoint
CREATE INDEX `rollouts_state` ON `rollouts` (`state`);--> statement-breakpoint
CREATE TABLE `runtime_images` (
	`runtime` text NOT NULL,
	`image` text NOT NULL,
	`allowed_at` integer NOT NULL,
	PRIMARY KEY(`runtime`, `image`)
);
--> statement-breakpoint
CREATE TABLE `tenant_images` (
	`tenant_id` text PRIMARY KEY NOT NULL,
	`image` text,
	`running` text,
	`running_generation` integer DEFAULT 0 NOT NULL,
	`refused` text
);
