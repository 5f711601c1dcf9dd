//! redis-rs and fred doing their ordinary work against the node whose RESP port is the first argument.

use fred::prelude::*;
use fred::types::RespVersion;
use redis::Commands;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn redis_rs(port: u16) -> Result<(), Failure> {
    for protocol in ["", "?protocol=resp3"] {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/2{protocol}"))?;
        let mut connection = client.get_connection()?;
        let _: () = connection.set_ex("rs:a", b"\xff\x00value".as_slice(), 100)?;
        let value: Vec<u8> = connection.get("rs:a")?;
        assert_eq!(value, b"\xff\x00value");
        let ttl: i64 = connection.ttl("rs:a")?;
        assert!((98..=100).contains(&ttl));
        let missing: Option<String> = connection.get("rs:none")?;
        assert_eq!(missing, None);
        let _: () = connection.mset(&[("rs:b", 1), ("rs:c", 2)])?;
        let both: Vec<i64> = connection.mget(&["rs:b", "rs:c"])?;
        assert_eq!(both, [1, 2]);
        let (count, text): (i64, String) = redis::pipe()
            .atomic()
            .incr("rs:b", 41)
            .append("rs:c", "0")
            .ignore()
            .get("rs:c")
            .query(&mut connection)?;
        assert_eq!((count, text.as_str()), (42, "20"));
        let raced: (i64,) = redis::transaction(&mut connection, &["rs:b"], |connection, pipe| {
            let old: i64 = connection.get("rs:b")?;
            pipe.set("rs:b", old + 1).ignore().get("rs:b").query(connection)
        })?;
        assert_eq!(raced, (43,));
        let mut keys: Vec<String> = connection.scan_match::<_, String>("rs:*")?.collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys, ["rs:a", "rs:b", "rs:c"]);
        let wrong: redis::RedisResult<i64> = connection.incr("rs:a", 1);
        assert!(wrong.is_err());
        let large = vec![7u8; 3_000_000];
        let _: () = connection.set("rs:large", &large)?;
        let back: Vec<u8> = connection.get("rs:large")?;
        assert_eq!(back, large);
        let deleted: i64 = connection.del(&["rs:a", "rs:b", "rs:c", "rs:large"])?;
        assert_eq!(deleted, 4);
    }
    Ok(())
}

async fn fred(port: u16) -> Result<(), Failure> {
    for version in [RespVersion::RESP2, RespVersion::RESP3] {
        let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}/3"))?;
        config.version = version;
        let client = Builder::from_config(config).build()?;
        client.init().await?;
        let _: () = client.set("fred:a", "1", Some(Expiration::EX(100)), Some(SetOptions::NX), false).await?;
        let count: i64 = client.incr_by("fred:a", 41).await?;
        assert_eq!(count, 42);
        let ttl: i64 = client.ttl("fred:a").await?;
        assert!((98..=100).contains(&ttl));
        let transaction = client.multi();
        let _: () = transaction.set("fred:b", "x", None, None, false).await?;
        let _: () = transaction.get("fred:a").await?;
        let (set, got): (String, i64) = transaction.exec(true).await?;
        assert_eq!((set.as_str(), got), ("OK", 42));
        let pipeline = client.pipeline();
        for number in 0..100 {
            let _: () = pipeline.set(format!("fred:{number}"), number, None, None, false).await?;
        }
        let _: Vec<String> = pipeline.all().await?;
        let keys: Vec<String> = (0..100).map(|number| format!("fred:{number}")).collect();
        let values: Vec<i64> = client.mget(keys.clone()).await?;
        assert!(values.into_iter().eq(0..100));
        let deleted: i64 = client.del(keys).await?;
        assert_eq!(deleted, 100);
        let deleted: i64 = client.del(vec!["fred:a", "fred:b"]).await?;
        assert_eq!(deleted, 2);
        client.quit().await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let port = std::env::args().nth(1).ok_or("the port of RESP is missing")?.parse()?;
    redis_rs(port)?;
    fred(port).await
}
