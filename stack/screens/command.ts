import { mkdirSync, rmSync } from "node:fs";
import { openBrowser } from "../journey/browser.ts";
import { defaultDir } from "../running.ts";
import { bringPackages, Refusal } from "../system.ts";
import { startLab } from "./lab.ts";
import { PAGES } from "./pages.ts";

const SIZES = {
  wide: { width: 1280, height: 900 },
  phone: { width: 390, height: 844 },
} as const;
const SCHEMES = ["light", "dark"] as const;

/** `npm run screens [NAME…]`: a picture of every page, or of those named, by day, by night and on a phone. */
export async function screensCommand(names: readonly string[]): Promise<number> {
  const known = new Set(PAGES.map(({ name }) => name));
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new Refusal(`there is no page ${unknown.join(", ")}. There is: ${[...known].join(", ")}.`);
  }
  await bringPackages("test", true);
  const dir = `${defaultDir}/screens`;
  if (names.length === 0) rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const lab = await startLab();
  const browser = await openBrowser();
  const wrong: string[] = [];
  try {
    const page = await browser.context.newPage();
    page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error.message}`));
    for (const { name, as, at, route, status = 200 } of PAGES) {
      if (names.length > 0 && !names.includes(name)) continue;
      await lab.enter(browser.context, as);
      const answer = await page.goto(`${lab.edge.dashboard}${at?.(lab.known) ?? route}`);
      if (answer?.status() !== status) wrong.push(`${name} answered ${answer?.status()}, not ${status}`);
      for (const [size, viewport] of Object.entries(SIZES)) {
        await page.setViewportSize(viewport);
        for (const colorScheme of SCHEMES) {
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          await page.screenshot({ path: `${dir}/${name}.${size}.${colorScheme}.png`, fullPage: true });
        }
      }
      console.error(name);
    }
  } finally {
    await browser.close();
    await lab.stop();
  }
  for (const line of wrong) console.error(`wrong: ${line}`);
  console.log(dir);
  return wrong.length === 0 ? 0 : 1;
}
