export { createPost, type Letter, type Post } from "./post.ts";
export { type Mail, mailConfig } from "./rules.ts";
