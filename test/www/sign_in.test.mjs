// Who comes in and how: set-up by the one-time link, sign-in, roles, a session that ends, and what the account menu does.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { World, Process, freePort, until, build, path } from '../flow/lib/locum.mjs';
import { Browser, accessible, noProblems, visit } from './lib/browser.mjs';

let world, browser;
before(async () => {
  world = await World.open();
  browser = await Browser.open(world);
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('the one-time link makes the first operator and signs them in', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'locum-setup-'));
  const port = await freePort();
  const server = new Process(path.join(build, 'locum'), ['serve', '--data', path.join(folder, 'var'), '--listen', `127.0.0.1:${port}`, '--device-listen', `127.0.0.1:${await freePort()}`]);
  try {
    const link = await until('the set-up link is printed', () => /http:\/\/\S+\/setup#\S+/.exec(server.output)?.[0]);
    const page = await browser.page({ signedIn: false });
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByRole('heading', { name: 'This console is not set up yet' }).waitFor();
    await page.goto(link);
    await page.getByRole('heading', { name: 'Set up this console' }).waitFor();
    await accessible(page, 'set-up');
    await page.getByLabel('Password', { exact: true }).fill('short');
    await page.getByText('At least 10 characters.', { exact: true }).waitFor();
    await page.getByLabel('Password', { exact: true }).fill('a long enough one');
    await page.getByLabel('Password again').fill('a long enough one');
    await page.getByRole('button', { name: 'Create the administrator' }).click();
    await page.getByRole('heading', { name: 'First steps' }).waitFor();
    assert.equal(await page.locator('.step').count(), 4, 'an empty console shows four steps');
    assert.equal(await page.locator('.step .command code').count(), 4, 'each with a command to copy');
    await accessible(page, 'empty overview');
    await page.goto(link);
    await page.getByRole('heading', { name: 'Already set up' }).waitFor();
    noProblems(page);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

test('a wrong password gets a sentence, the right one the page that was asked for', async () => {
  const page = await browser.page({ signedIn: false });
  await page.goto(`${world.url}/login?next=%2Fdevices`);
  await page.getByLabel('Name').fill('admin');
  await page.getByLabel('Password').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('The name or the password is wrong.').waitFor();
  await page.getByLabel('Password').fill(world.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Devices', level: 1 }).waitFor();
  noProblems(page, (one) => one.includes('401'));
});

test('a sign-in never leads to another site', async () => {
  const page = await browser.page({ signedIn: false });
  await page.goto(`${world.url}/login?next=%2F%2Fexample.org%2F`);
  await page.getByLabel('Name').fill('admin');
  await page.getByLabel('Password').fill(world.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  assert.ok(page.url().startsWith(world.url));
});

test('a session that ends asks again over the page and keeps what was typed', async () => {
  const page = await browser.page();
  await visit(page, world, '/devices');
  await page.getByRole('button', { name: 'Enrol a device' }).click();
  await page.getByLabel('Product').fill('typed-before');
  await page.locator('a.chip').waitFor(); // after that the page asks for nothing by itself
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Make a claim code' }).click();
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  await page.getByLabel('Name').fill('admin');
  await page.getByLabel('Password').fill(world.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor({ state: 'detached' });
  assert.equal(await page.getByLabel('Product').inputValue(), 'typed-before');
  await page.getByRole('button', { name: 'Make a claim code' }).click();
  await page.getByText('locum-agent enrol --server').waitFor();
});

test('a viewer sees why an action is not theirs', async () => {
  await world.api('POST', '/operators', { name: 'vera', password: 'looks but does not touch', role: 'viewer' });
  const page = await browser.page({ operator: 'vera', password: 'looks but does not touch' });
  await visit(page, world, '/devices');
  const enrol = page.getByRole('button', { name: 'Enrol a device' }).first();
  assert.equal(await enrol.getAttribute('aria-disabled'), 'true');
  await enrol.hover();
  await page.getByText('Needs the role support; yours is viewer.').first().waitFor();
  noProblems(page);
});

test('the account menu changes colours and password and signs out', async () => {
  await world.api('POST', '/operators', { name: 'paul', password: 'the first password', role: 'support' });
  const page = await browser.page({ operator: 'paul', password: 'the first password' });
  await page.getByRole('button', { name: 'Account paul' }).click();
  await page.getByLabel('Colours').selectOption('Dark');
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(14, 18, 23)');
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByLabel('Present password').fill('the first password');
  await page.getByLabel('New password').fill('the second password');
  await page.getByRole('dialog').getByRole('button', { name: 'Change password' }).click();
  await page.getByText('Password changed.').waitFor();
  await page.getByRole('button', { name: 'Account paul' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.getByLabel('Name').fill('paul');
  await page.getByLabel('Password').fill('the second password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  noProblems(page);
});
