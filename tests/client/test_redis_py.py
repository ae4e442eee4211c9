"""redis-py as people use it, in both protocols."""

import threading

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from server import Server


@pytest.fixture(scope="module", params=[1, 3], ids=["one-shard", "three-shards"])
def server(request):
    server = Server(shards=request.param)
    yield server
    server.stop()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request):
    return request.param


@pytest.fixture
def client(server, protocol):
    client = redis.Redis(port=server.port, protocol=protocol, decode_responses=True)
    client.flushall()
    yield client
    client.close()


def test_strings(client):
    assert client.set("k", "v") is True
    assert client.get("k") == "v"
    assert client.get("missing") is None
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", xx=True, get=True) == "v"
    assert client.setnx("k", "x") is False
    assert client.getset("k", "x") == "w"
    assert client.getdel("k") == "x"
    assert client.append("k", "abc") == 3
    assert client.strlen("k") == 3
    assert client.getrange("k", 1, -1) == "bc"
    assert client.setrange("k", 1, "XY") == 3
    assert client.mset({"a": "1", "b": "2"}) is True
    assert client.mget("a", "b", "c") == ["1", "2", None]
    assert client.msetnx({"b": "3", "c": "4"}) is False
    assert client.incr("n") == 1
    assert client.incrby("n", 41) == 42
    assert client.decr("n", 2) == 40
    assert client.incrbyfloat("n", 0.5) == 40.5
    assert client.lcs("a", "b") == ""


def test_lcs_positions(client):
    client.mset({"a": "ohmytext", "b": "mynewtext"})
    assert client.lcs("a", "b") == "mytext"
    assert client.lcs("a", "b", len=True) == 6
    matches = client.lcs("a", "b", idx=True, minmatchlen=3, withmatchlen=True)
    flat = matches if isinstance(matches, list) else [x for pair in matches.items() for x in pair]
    assert flat[0] == "matches" and flat[2:] == ["len", 6]


def test_expiry(client):
    client.set("k", "v", ex=100)
    assert 0 < client.ttl("k") <= 100
    assert client.expire("k", 50, gt=True) is False
    assert client.pexpire("k", 50_000, lt=True) is True
    assert 0 < client.pttl("k") <= 50_000
    assert client.persist("k") is True
    assert client.ttl("k") == -1
    assert client.ttl("missing") == -2
    assert client.expireat("k", 33177117420) is True
    assert client.expiretime("k") == 33177117420
    assert client.pexpiretime("k") == 33177117420000
    assert client.getex("k", persist=True) == "v"
    assert client.ttl("k") == -1


def test_keys(client):
    client.mset({f"key:{i}": i for i in range(100)})
    assert client.dbsize() == 100
    assert len(client.keys("key:1?")) == 10
    assert client.exists("key:1", "key:2", "nothing") == 2
    assert client.touch("key:1", "nothing") == 1
    assert client.rename("key:1", "one") is True
    assert client.renamenx("one", "key:2") is False
    assert client.copy("one", "two") is True
    assert client.type("two") == "string"
    assert client.randomkey() is not None
    assert client.delete("one", "two") == 2
    assert client.unlink("key:2") == 1
    assert client.object("encoding", "key:3") == "int"
    assert client.move("key:3", 5) is True
    assert client.swapdb(0, 5) is True
    assert client.dbsize() == 1
    assert client.flushdb(asynchronous=True) is True
    assert client.dbsize() == 0


def test_scan_iter(client):
    client.mset({f"key:{i}": "v" for i in range(1000)})
    assert set(client.scan_iter(count=50)) == {f"key:{i}" for i in range(1000)}
    assert set(client.scan_iter(match="key:99*")) >= {"key:99", "key:990", "key:999"}
    assert list(client.scan_iter(_type="LIST")) == []


def test_bitmaps(client):
    assert client.setbit("k", 7, 1) == 0
    assert client.getbit("k", 7) == 1
    assert client.bitcount("k") == 1
    assert client.bitcount("k", 0, 7, "BIT") == 1
    assert client.bitpos("k", 1) == 7
    client.set("a", b"\x0f")
    client.set("b", b"\xff")
    assert client.bitop("AND", "c", "a", "b") == 1
    field = client.bitfield("k")
    assert field.set("u8", 0, 255).get("i8", 0).incrby("u8", 0, 1, "SAT").execute() == [1, -1, 255]
    assert client.bitfield_ro("k", "u8", 0) == [255]


def test_pipelines(client):
    with client.pipeline(transaction=False) as pipeline:
        for i in range(1000):
            pipeline.set(f"key:{i}", i)
            pipeline.get(f"key:{i}")
        replies = pipeline.execute()
    assert replies[1::2] == [str(i) for i in range(1000)]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("text", "abc").incr("text").get("text")
        replies = pipeline.execute(raise_on_error=False)
    assert replies[0] is True and replies[2] == "abc"
    assert isinstance(replies[1], redis.ResponseError)


def test_errors_have_their_classes(client):
    client.set("k", "text")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("k")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("NOSUCH")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments for 'get' command"):
        client.execute_command("GET")
    with pytest.raises(redis.ResponseError, match="syntax error"):
        client.execute_command("SET", "k", "v", "FOO")
    with pytest.raises(redis.ResponseError, match="DB index is out of range"):
        client.select(99)


def test_bytes_stay_bytes(server, protocol):
    with redis.Redis(port=server.port, protocol=protocol) as client:
        value = bytes(range(256)) * 100
        client.set(b"\x00\xff", value)
        assert client.get(b"\x00\xff") == value
        assert client.delete(b"\x00\xff") == 1


def test_large_values(client):
    value = "x" * 10_000_000
    client.set("big", value)
    assert client.get("big") == value
    assert client.memory_usage("big") >= len(value)


def test_client_commands(client, server, protocol):
    assert client.client_setname("worker") is True
    assert client.client_getname() == "worker"
    own = client.client_info()
    assert own["name"] == "worker"
    assert own["resp"] == str(protocol)
    assert own.get("lib-name", "redis-py").startswith("redis-py")
    assert client.client_id() in [int(other["id"]) for other in client.client_list()]
    with redis.Redis(port=server.port, protocol=protocol) as other:
        ident = other.client_id()
        assert client.client_kill_filter(_id=ident) == 1
        assert client.client_kill_filter(_id=ident) == 0
    assert client.client_pause(1) is True
    assert client.client_unpause() in (True, "OK")
    assert client.client_no_evict("on") in (True, "OK")


def test_server_commands(client):
    assert client.ping() is True
    assert client.echo("hello") == "hello"
    seconds, micros = client.time()
    assert seconds > 1_600_000_000 and 0 <= micros < 1_000_000
    info = client.info()
    assert info["connected_clients"] >= 1 and "redis_version" in info
    assert client.info("keyspace") == {}
    assert client.config_get("maxmemory")["maxmemory"] == "0"
    assert client.config_set("maxmemory", "1gb") is True
    assert client.config_get("maxmemory") == {"maxmemory": "1073741824"}
    assert client.config_set("maxmemory", 0) is True
    assert client.config_resetstat() is True
    assert client.command_count() > 50
    assert client.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
    assert "get" in client.command()
    assert client.lolwut()


def test_a_pool_shared_by_threads(server, protocol):
    pool = redis.ConnectionPool(port=server.port, protocol=protocol, max_connections=8)
    client = redis.Redis(connection_pool=pool)
    client.delete("counter")

    def work():
        for _ in range(200):
            client.incr("counter")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("counter") == b"1600"
    pool.disconnect()


def test_url_with_database_and_unix_socket(server, protocol):
    with redis.from_url(f"redis://127.0.0.1:{server.port}/3?protocol={protocol}") as third:
        third.set("only-here", "v")
        with redis.Redis(unix_socket_path=server.socket, protocol=protocol, db=3) as client:
            assert client.get("only-here") == b"v"
        with redis.Redis(unix_socket_path=server.socket, protocol=protocol) as client:
            assert client.get("only-here") is None
        third.delete("only-here")


def test_passwords(protocol):
    server = Server("--requirepass", "secret")
    try:
        with redis.Redis(port=server.port, protocol=protocol, password="secret") as client:
            assert client.ping() is True
        for password in [None, "wrong"]:
            # A refused password counts as a lost connection there, which is tried again.
            once = Retry(NoBackoff(), 0)
            options = {"port": server.port, "protocol": protocol, "retry": once}
            with redis.Redis(password=password, **options) as client:
                with pytest.raises(redis.AuthenticationError):
                    client.ping()
    finally:
        server.stop()


def test_a_client_comes_back_after_its_connection_was_closed(client, server, protocol):
    other = redis.Redis(port=server.port, protocol=protocol, retry=Retry(NoBackoff(), 3))
    ident = other.client_id()
    client.client_kill_filter(_id=ident)
    assert other.ping() is True
    assert other.client_id() != ident
    other.close()


def test_transactions(client, server, protocol):
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 1).incr("b").mget("a", "b", "c").execute() == [True, 1, ["1", "1", None]]
    other = redis.Redis(port=server.port, protocol=protocol, decode_responses=True)
    with client.pipeline() as pipe:
        pipe.watch("a", "x", "y")
        other.set("y", 1)
        pipe.multi()
        pipe.set("a", 2)
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.get("a") == "1"

    def add(pipe):
        before = int(pipe.get("a"))
        pipe.multi()
        pipe.set("a", before + 5)

    client.transaction(add, "a")
    assert client.get("a") == "6"
    other.close()


def test_waiting(client, server, protocol):
    other = redis.Redis(port=server.port, protocol=protocol, decode_responses=True)
    push = threading.Timer(0.05, lambda: other.rpush("q2", "x"))
    push.start()
    assert client.blpop(["q1", "q2", "q3"], timeout=10) in [("q2", "x"), ["q2", "x"]]
    push.join()
    assert client.brpop("q1", timeout=0.02) is None
    add = threading.Timer(0.05, lambda: other.xadd("s", {"f": "v"}))
    add.start()
    assert len(client.xread({"s": "$"}, block=10_000)) == 1
    add.join()
    other.close()


def test_lock_and_scripts(client):
    with client.lock("guard", timeout=10):
        assert client.lock("guard", timeout=10).acquire(blocking=False) is False
    assert client.exists("guard") == 0
    count = client.register_script(
        "for i = 1, ARGV[1] do redis.call('incr', 'n:' .. i % 7) end return redis.call('dbsize')"
    )
    assert count(args=[20]) == 7
    client.script_flush()
    assert count(args=[20]) == 7
    client.function_load(
        "#!lua name=lib\nredis.register_function('twice', function(keys) "
        "return redis.call('incrby', keys[1], 2) end)",
        replace=True,
    )
    assert client.fcall("twice", 1, "n") == 2


def test_publish_and_subscribe(client):
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("news")
        pubsub.psubscribe("n*")
        while pubsub.get_message(timeout=0.2):
            pass
        assert client.eval("return redis.call('publish', 'news', 'hello')", 0) == 2
        got = [pubsub.get_message(timeout=5) or pubsub.get_message(timeout=5) for _ in range(2)]
        assert sorted(message["type"] for message in got) == ["message", "pmessage"]
