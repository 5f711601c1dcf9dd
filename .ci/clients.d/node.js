// node-redis: strings, transactions, scan.
const { createClient } = require('redis');
const assert = require('assert');
(async () => {
  const r = createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  await r.connect();
  await r.flushAll();
  assert.equal(await r.set('k', 'v', { EX: 100 }), 'OK');
  assert.equal(await r.get('k'), 'v');
  assert.deepEqual(await r.mGet(['k', 'none']), ['v', null]);
  assert.deepEqual(await r.multi().incr('n').get('n').exec(), [1, '1']);
  assert.ok((await r.ttl('k')) > 90);
  const seen = [];
  for await (const key of r.scanIterator({ COUNT: 1 })) seen.push(key);
  assert.deepEqual(seen.flat().sort(), ['k', 'n']);
  await r.quit();
})().catch((error) => { console.error(error); process.exit(1); });
