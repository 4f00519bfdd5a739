/** The home screen in Chromium with a fresh profile each time: until the list of conversations is there. */
import { chromium } from 'playwright-core';
import { at, makeConversation, say, startBenchRig } from './rig.js';

const CONVERSATIONS = 20;

export async function benchHome(rounds: number): Promise<void> {
  const rig = await startBenchRig();
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' });
  try {
    for (let n = 0; n < CONVERSATIONS; n += 1) await makeConversation(rig);
    await rig.db.query(`UPDATE conversations SET title = 'measured here'`);
    const took: number[] = [];
    let requests = 0;
    for (let round = 0; round <= rounds; round += 1) {
      const context = await browser.newContext();
      const page = await context.newPage();
      requests = 0;
      page.on('request', () => (requests += 1));
      const begin = performance.now();
      await page.goto(rig.api.base);
      await page.getByText('measured here').first().waitFor();
      if (round > 0) took.push(performance.now() - begin);
      await context.close();
    }
    say('home screen until its conversations are listed, p50', at(took, 0.5), 'ms', { most: 500 });
    say('requests for it', requests, '');
  } finally {
    await browser.close();
    await rig.stop();
  }
}
