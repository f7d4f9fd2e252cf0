import type { Mail } from "../mail/index.ts";
import { PLANS } from "../tenants/index.ts";
import { type Entitlement, GRACE_DAYS, KEPT_DAYS, type Stage, WARNING_DAYS } from "./rules.ts";

interface About {
  it: Entitlement;
  name: string;
  agents: number;
  billingUrl: string;
  payable: boolean;
}
type Words = (about: About) => { subject: string; text: string };

const day = (ms: number) =>
  new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const many = (n: number) => (n === 1 ? "your agent" : `your ${n} agents`);
const choose = ({ payable, billingUrl }: About) =>
  payable
    ? `Choose a plan: ${billingUrl}`
    : "Payments are not set up here yet; please write to whoever runs this site.";
const trialEnds =
  (left: string): Words =>
  (about) => ({
    subject: `Your trial ends in ${left}`,
    text: `Your trial ends on ${day(about.it.cause)}. Then ${many(about.agents)} will be stopped, and all data is kept.\n\n${choose(about)}`,
  });

/** What each stage is told with, or null where there is nothing to tell. */
const WORDS: Readonly<Record<Stage, Words | null>> = {
  unbilled: null,
  trial: null,
  paid: null,
  trial_3_days: trialEnds("3 days"),
  trial_1_day: trialEnds("1 day"),
  trial_ended: (about) => ({
    subject: "Your trial has ended",
    text: `Your trial has ended, and ${many(about.agents)} stopped. The data is kept; as soon as you have a plan, everything goes on where it was.\n\n${choose(about)}`,
  }),
  grace: ({ it, agents, billingUrl }) => ({
    subject: "A payment failed",
    text: `The payment for your ${PLANS[it.plan].name} plan failed. Nothing stops yet: please look at your payment details by ${day(it.until ?? it.cause)}, ${GRACE_DAYS} days after the bill. After that ${many(agents)} will be stopped.\n\n${billingUrl}`,
  }),
  suspended: ({ it, agents, billingUrl }) => ({
    subject: "Your agents are stopped",
    text: `Your ${PLANS[it.plan].name} plan is not paid, so ${many(agents)} stopped. The data is kept for ${KEPT_DAYS} days; pay, and everything goes on where it was.\n\n${billingUrl}`,
  }),
  warned: ({ agents, billingUrl }) => ({
    subject: `Your data will be deleted in ${WARNING_DAYS} days`,
    text: `Your plan has not been paid for over ${KEPT_DAYS} days. In ${WARNING_DAYS} days ${many(agents)} will be deleted, with all files and all snapshots. This cannot be undone. Pay before then, and everything goes on where it was.\n\n${billingUrl}`,
  }),
  deletable: ({ agents }) => ({
    subject: "Your agents are deleted",
    text: `As announced, ${many(agents)} and all their data have been deleted, since the plan was not paid. Your account stays, with a receipt for each deletion.`,
  }),
};

/** The mail for an owner who has entered a stage. Nobody is bothered about agents that they do not have. */
export function noticeOf(to: string, about: About): Mail | null {
  const words = WORDS[about.it.stage];
  if (!words || (about.agents === 0 && about.it.stage !== "grace")) return null;
  const { subject, text } = words(about);
  return { to, subject, text: `Hello ${about.name},\n\n${text}\n\nChelar` };
}
