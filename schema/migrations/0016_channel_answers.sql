ALTER TABLE `channel_messages` ADD `answer` text;--> statement-breakpoint
ALTER TABLE `channel_messages` ADD `answer_sent` integer DEFAULT 0 NOT NULL;