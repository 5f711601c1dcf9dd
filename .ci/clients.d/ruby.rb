# redis-rb: strings, transactions, scan.
require "redis"
r = Redis.new(port: Integer(ARGV[0]))
def check(is, what) = is || abort("FAIL #{what}")
r.flushall
check(r.set("k", "v", ex: 100) == "OK" && r.get("k") == "v" && r.ttl("k") > 90, "set")
check(r.set("k", "w", nx: true) == false && r.getset("k", "x") == "v", "nx")
check(r.mset("a", 1, "b", 2) == "OK" && r.mget("a", "b", "c") == ["1", "2", nil], "mget")
check(r.incrby("a", 4) == 5 && r.incrbyfloat("f", 1.5) == 1.5, "incr")
check(r.multi { |t| t.incr("n"); t.get("n") } == [1, "1"], "multi")
check(r.pipelined { |p| p.set("p", "q"); p.get("p") } == ["OK", "q"], "pipeline")
check(r.watch("n") { r.incr("n"); r.multi { |t| t.set("n", 9) } }.nil?, "watch")
check(r.scan_each(match: "*").to_a.uniq.size == r.dbsize, "scan")
check(r.info["redis_version"] >= "7.2" && r.expire("k", 5) && r.getdel("k") == "x", "info")
