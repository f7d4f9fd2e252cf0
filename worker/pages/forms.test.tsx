import { expect, it } from "vitest";
import { Field } from "./forms.tsx";

it("never writes a password back, even when a page hands it one", async () => {
  const html = String(await (<Field name="key" label="Key" type="password" value="sk-ant-secret" />));
  expect(html).toContain(`id="key"`);
  expect(html).not.toContain("sk-ant-secret");
});

it("has its error and its hint read out with the input", async () => {
  const html = String(await (<Field name="name" label="Name" hint="Short." error="Too long." value={`"<x>`} />));
  expect(html).toContain(`aria-describedby="name-error name-hint" aria-invalid="true"`);
  expect(html).toContain(`value="&quot;&lt;x&gt;"`);
});
