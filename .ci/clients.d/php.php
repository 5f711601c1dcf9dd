<?php // phpredis: strings, pipelines, transactions, scan.
$r = new Redis();
$r->connect('127.0.0.1', (int) $argv[1]);
function check($is, $what) { if (!$is) { fwrite(STDERR, "FAIL $what\n"); exit(1); } }
check($r->flushAll(), 'flushAll');
check($r->set('k', 'v', ['ex' => 100, 'nx']) === true && $r->get('k') === 'v', 'set');
check($r->ttl('k') > 90 && $r->expire('k', 50) && $r->persist('k'), 'ttl');
check($r->mset(['a' => '1', 'b' => '2']) && $r->mget(['a', 'b', 'c']) === ['1', '2', false], 'mget');
check($r->incrBy('a', 4) === 5 && $r->incrByFloat('f', 1.5) === 1.5, 'incr');
check($r->setex('e', 10, 'x') && $r->getSet('e', 'y') === 'x' && $r->append('e', 'z') === 2, 'getset');
check($r->multi()->incr('n')->get('n')->exec() === [1, '1'], 'multi');
check($r->pipeline()->set('p', 'q')->get('p')->del('p')->exec() === [true, 'q', 1], 'pipeline');
$r->watch('n');
$other = new Redis();
$other->connect('127.0.0.1', (int) $argv[1]);
$other->incr('n');
check($r->multi()->set('n', 9)->exec() === false, 'watch');
$seen = [];
$cursor = null;
while (($keys = $r->scan($cursor, '*', 2)) !== false) { $seen = array_merge($seen, $keys); }
check(count(array_unique($seen)) === $r->dbSize(), 'scan');
check($r->info()['role'] === 'master' && $r->select(2) && $r->get('k') === false, 'info, select');
