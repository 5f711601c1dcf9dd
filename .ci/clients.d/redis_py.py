"""redis-py, sync and asyncio, RESP2 and RESP3; its default pipeline is a transaction."""

import asyncio
import sys

import redis
import redis.asyncio

port = int(sys.argv[1])

for protocol in (2, 3):
    r = redis.Redis(port=port, protocol=protocol, decode_responses=True)
    r.flushall()
    assert r.set("k", "v", ex=100) is True and r.get("k") == "v" and 99 <= r.ttl("k") <= 100
    assert r.set("k", "w", nx=True) is None and r.set("k", "w", xx=True, get=True) == "v"
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "b", "c") == ["1", "2", None]
    assert r.incr("a", 5) == 6 and r.decr("a") == 5 and r.incrbyfloat("f", 0.5) == 0.5
    assert r.getdel("b") == "2" and r.getex("k", px=5000) == "w" and 0 < r.pttl("k") <= 5000
    assert r.expire("k", 100, nx=True) is False and r.persist("k") is True
    assert r.append("k", "xyz") == 4 and r.getrange("k", 1, 2) == "xy" and r.setrange("k", 0, "W") == 4
    assert r.rename("k", "l") and r.exists("k", "l") == 1 and r.type("l") == "string"
    assert sorted(r.scan_iter(match="*", count=2)) == ["a", "f", "l"] and r.dbsize() == 3
    pipe = r.pipeline()
    for number in range(50):
        pipe.set(f"p{number}", number).expire(f"p{number}", 50)
    assert all(pipe.execute())
    with r.pipeline() as pipe:
        pipe.watch("a")
        r.set("a", "other")
        pipe.multi()
        pipe.set("a", "mine")
        try:
            pipe.execute()
            raise SystemExit("a watched key was changed")
        except redis.WatchError:
            pass
    try:
        r.incr("l")
        raise SystemExit("a text is no number")
    except redis.ResponseError as error:
        assert str(error) == "value is not an integer or out of range", error
    info = r.info()
    assert info["redis_version"] >= "7.2" and info["role"] == "master" and info["db0"]["keys"] > 50
    assert r.config_get("maxmemory")["maxmemory"] and r.client_getname() is None
    assert r.client_setname("me") and any(c["name"] == "me" for c in r.client_list())
    assert "get" in r.command() and r.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"]
    assert len(r.time()) == 2 and r.echo("x") == "x" and r.ping()
    big = "x" * (5 << 20)
    assert r.set("big", big) and r.get("big") == big
    other = redis.Redis(port=port, protocol=protocol, db=3)
    assert other.get("a") is None and other.set("a", 1) and other.flushdb() and r.get("a") == "other"


async def main():
    r = redis.asyncio.Redis(port=port, decode_responses=True)
    await r.flushdb()
    await asyncio.gather(*(r.set(f"k{n}", n) for n in range(50)))
    assert await r.mget([f"k{n}" for n in range(50)]) == [str(n) for n in range(50)]
    async with r.pipeline(transaction=True) as pipe:
        assert await pipe.incr("n").incr("n").get("n").execute() == [1, 2, "2"]
    await r.aclose()


asyncio.run(main())
