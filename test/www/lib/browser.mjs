// A real browser on the real console: pages that collect what they do wrong, and the checks that every page must pass.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** The browser of one test file; `close` in an `after` hook. */
export class Browser {
  static async open(world) {
    const browser = new Browser();
    browser.world = world;
    browser.profiles = [];
    browser.contexts = [];
    return browser;
  }
  /** A browser of its own with an empty profile, signed in unless told otherwise. */
  async page({ colorScheme = 'light', width = 1280, height = 800, signedIn = true, operator = 'admin', password } = {}) {
    const profile = await mkdtemp(path.join(tmpdir(), 'locum-www-'));
    this.profiles.push(profile);
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS, chromiumSandbox: false, headless: true, colorScheme, viewport: { width, height },
      timezoneId: 'Europe/Berlin', locale: 'en-GB', acceptDownloads: true, permissions: ['clipboard-read', 'clipboard-write'],
    });
    this.contexts.push(context);
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(20000);
    page.problems = [];
    watch(page);
    context.on('page', watch);
    if (signedIn) await this.signIn(page, operator, password ?? this.world.password);
    return page;
  }
  async signIn(page, name, password) {
    await page.goto(`${this.world.url}/login`);
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: `Account ${name}` }).waitFor();
  }
  async close() {
    for (const context of this.contexts) await context.close().catch(() => {});
    for (const profile of this.profiles) await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Console errors, uncaught errors and violations of the content security policy gather in page.problems. */
function watch(page) {
  page.problems ??= [];
  page.on('console', (message) => message.type() === 'error' && page.problems.push(`${message.text()} ${message.location().url}`));
  page.on('pageerror', (error) => page.problems.push(String(error)));
  page.addInitScript(() => addEventListener('securitypolicyviolation', (event) => console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)));
}

/** Loads a path of the console and waits until its heading and data are there. */
export async function visit(page, world, where) {
  await page.goto(world.url + where);
  await page.locator('main h1').waitFor();
  await settled(page);
}

/** No request is under way and nothing says that it loads. */
export async function settled(page) {
  await page.locator('.skeleton').waitFor({ state: 'detached' });
  await page.evaluate(async () => {
    let last = -1;
    for (let same = 0; same < 3; ) {
      const now = performance.getEntriesByType('resource').length;
      same = now === last ? same + 1 : 0;
      last = now;
      await new Promise((done) => setTimeout(done, 60));
    }
  });
}

/** axe finds nothing (WCAG 2.2 AA and its best practices), and nothing sticks out to the right. */
export async function accessible(page, what) {
  const out = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(out[0] <= out[1], `${what}: ${out[0]} px wide in ${out[1]} px`);
  if (!(await page.evaluate(() => !!globalThis.axe))) await page.evaluate(axe);
  /* Only what is wrong comes back from the page: all that is right is megabytes, and most of the time. */
  const wrong = await page.evaluate(async () => {
    const found = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] });
    return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join('; ')}`);
  });
  assert.deepEqual(wrong, [], what);
  const headings = await page.locator('h1').count();
  assert.equal(headings, 1, `${what}: one h1`);
}

/* Pages are read in each of these. */
const LOOKS = [1280, 320].flatMap((width) => ['light', 'dark'].map((colorScheme) => ({ width, height: width === 320 ? 640 : 800, colorScheme })));

async function look(page, { width, height, colorScheme }) {
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme });
  /* What follows the size has been drawn, and no colour is on its way to another. */
  await page.evaluate(async () => {
    for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
    await Promise.all(document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity).map((one) => one.finished.catch(() => {})));
  });
}

/** A page that is loaded once is pictured and accessible in light and dark, wide and narrow. One `turn` after another, a page is first seen in the look that the one before was seen in last, and so is loaded in: another one each time. */
export async function accessibleInAllLooks(page, name, turn = 0) {
  for (let i = 0; i < LOOKS.length; i++) {
    const one = LOOKS[(3 * turn + i) % LOOKS.length];
    await look(page, one);
    await picture(page, `${name}-${one.colorScheme}-${one.width}`);
    await accessible(page, `${name} ${one.colorScheme} ${one.width}`);
  }
}

/** With SHOTS=folder every page that is checked is also pictured there, for people's eyes. */
export async function picture(page, name) {
  if (!process.env.SHOTS) return;
  await mkdir(process.env.SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(process.env.SHOTS, `${name}.png`), fullPage: true });
}

export function noProblems(page, but = () => false) {
  assert.deepEqual(page.problems.filter((one) => !but(one)), []);
}
