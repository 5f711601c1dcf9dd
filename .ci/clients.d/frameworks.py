"""Cache frameworks at their ordinary work: cachelib, aiocache, dogpile.cache, Django, Flask-Caching."""

import asyncio
import sys
import threading

port = int(sys.argv[1])
url = f"redis://127.0.0.1:{port}/1"


def cachelib():
    from cachelib import RedisCache

    cache = RedisCache(port=port, key_prefix="cl:", default_timeout=60)
    assert cache.set("a", {"x": [1, 2]}) and cache.get("a") == {"x": [1, 2]}
    assert cache.add("a", 1) is False and cache.add("b", 2) and cache.has("b")
    assert cache.set_many({"c": 3, "d": 4}) and cache.get_many("c", "d", "none") == [3, 4, None]
    assert cache.inc("n", 3) == 3 and cache.dec("n") == 2
    assert cache.delete_many("c", "d") and cache.get("c") is None
    assert cache.clear() and cache.get("a") is None


def aiocache():
    from aiocache import Cache
    from aiocache.serializers import JsonSerializer

    async def work():
        cache = Cache(Cache.REDIS, endpoint="127.0.0.1", port=port, namespace="ai", serializer=JsonSerializer())
        assert await cache.set("k", {"a": 1}, ttl=30) and await cache.get("k") == {"a": 1}
        await cache.multi_set([("x", 1), ("y", 2)], ttl=30)
        assert await cache.multi_get(["x", "y", "z"]) == [1, 2, None]
        assert await cache.exists("x") and await cache.delete("x") == 1
        assert await cache.increment("n", 2) == 2 and await cache.expire("n", 10)
        assert await cache.clear(namespace="ai")
        assert await cache.get("k") is None
        await cache.close()

    asyncio.run(work())


def dogpile():
    from dogpile.cache import make_region

    arguments = {"host": "127.0.0.1", "port": port, "redis_expiration_time": 60, "distributed_lock": False}
    region = make_region().configure("dogpile.cache.redis", expiration_time=30, arguments=arguments)
    calls = []

    @region.cache_on_arguments()
    def slow(x):
        calls.append(x)
        return x * 2

    threads = [threading.Thread(target=slow, args=(7,)) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert slow(7) == 14 and calls == [7]
    region.set_multi({"a": 1, "b": 2})
    assert region.get_multi(["a", "b"]) == [1, 2]
    slow.invalidate(7)
    assert slow(7) == 14 and calls == [7, 7]


def django():
    from django.conf import settings

    backend = "django.core.cache.backends.redis.RedisCache"
    settings.configure(CACHES={"default": {"BACKEND": backend, "LOCATION": url}})
    from django.core.cache import cache

    cache.clear()
    cache.set("a", {"x": 1}, 30)
    assert cache.get("a") == {"x": 1} and cache.add("a", 2) is False and cache.add("b", 2)
    cache.set_many({"c": 1, "d": 2}, timeout=60)
    assert cache.get_many(["c", "d", "e"]) == {"c": 1, "d": 2}
    assert cache.incr("c", 4) == 5 and cache.touch("c", 100) and cache.has_key("c")
    assert cache.get_or_set("f", lambda: "made", 10) == "made"
    cache.delete_many(["c", "d"])
    assert cache.get("c") is None
    cache.clear()
    assert cache.get("a") is None


def flask_caching():
    from flask import Flask
    from flask_caching import Cache

    app = Flask("test")
    cache = Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": url})
    calls = []

    @cache.memoize(60)
    def f(x):
        calls.append(x)
        return x + 1

    with app.app_context():
        assert f(1) == 2 and f(1) == 2 and calls == [1]
        cache.delete_memoized(f)
        assert f(1) == 2 and calls == [1, 1]


for test in (cachelib, aiocache, dogpile, django, flask_caching):
    test()
    print(f"   {test.__name__}")
