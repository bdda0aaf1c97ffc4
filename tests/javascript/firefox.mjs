/** The main paths of the page in Firefox, in a window: prints as JSON what was seen. Headless, Firefox has no WebGL2. */

import puppeteer from "puppeteer-core";

const [executablePath, base, ct, slide] = process.argv.slice(2);
const seen = { console: [], asked: [] };

const browser = await puppeteer.launch({
  browser: "firefox", executablePath, headless: false, timeout: 150_000,
  extraPrefsFirefox: {
    "app.update.enabled": false, "browser.shell.checkDefaultBrowser": false, "browser.safebrowsing.downloads.enabled": false,
    "browser.safebrowsing.malware.enabled": false, "browser.safebrowsing.phishing.enabled": false, "datareporting.policy.dataSubmissionEnabled": false,
    "network.captive-portal-service.enabled": false, "network.connectivity-service.enabled": false, "toolkit.telemetry.enabled": false,
  },
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(150_000);
  await page.setViewport({ width: 1100, height: 700 });
  page.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.console.push(`error: ${error.message}`));
  page.on("request", (request) => seen.asked.push(request.url()));

  const ready = () => page.waitForFunction(() => {
    const states = [...document.querySelectorAll("[data-state]")].map((each) => each.dataset.state);
    return states.length > 0 && states.every((state) => ["ready", "incomplete", "failed"].includes(state));
  });
  const drawn = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(undefined)))));
  const go = async (path) => {
    await page.goto(base + path);
    await drawn();
    await ready();
  };
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
    await drawn();
    await ready();
  };
  const canvas = () => page.evaluate(() => document.querySelector(".stage canvas").toDataURL("image/png"));
  const letters = () => page.$$eval(".letter", (all) => all.map((each) => each.textContent));

  await go("/");
  seen.studies = await page.$$eval(".card b", (all) => all.map((each) => each.textContent));
  await page.waitForFunction(() => document.querySelectorAll(".thumb img").length >= 6 && [...document.querySelectorAll(".thumb img")].every((each) => each.naturalWidth > 0));
  await page.type("input[type=search]", "Perfusion");
  await page.waitForFunction(() => document.querySelectorAll(".card").length === 1);
  seen.found = await page.$$eval(".card b", (all) => all.map((each) => each.textContent));

  await go(`${ct}#z=20&zoom=1&x=128&y=128&hidden=all`);
  for (const box of (await page.$$(".segment input")).slice(0, 3)) await box.click();
  await drawn();
  await ready();
  seen.ct = await canvas();
  await page.focus(".stage canvas");
  await press("ArrowDown");
  await page.waitForFunction(() => location.hash.includes("z=21"));
  await press("m");
  seen.letters = await letters();
  await press("a");
  await page.waitForFunction(() => document.querySelectorAll("table.attributes tbody tr").length > 20);
  await press("Escape");

  await go(`${slide}#zoom=1&x=600&y=500`);
  seen.slide = await canvas();
  seen.size = await page.evaluate(() => [document.querySelector(".stage canvas").width, document.querySelector(".stage canvas").height]);
} catch (error) {
  seen.error = String(error);
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(seen));
