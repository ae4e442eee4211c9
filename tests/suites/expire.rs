//! Times to live.

use crate::judged::{self, check};
use harness::Value;
use harness::server::until;

#[test]
fn keys_live_as_long_as_they_were_given() {
    check(
        r#"
        == conditions
        > SET k v
        +OK
        > EXPIRE k 100 XX
        :0
        > EXPIRE k 100 NX
        :1
        > EXPIRE k 50 GT
        :0
        > EXPIRE k 50 LT
        :1
        > TTL k
        :50
        > PERSIST k
        :1
        > PERSIST k
        :0

        == absolute
        > SET k v
        +OK
        > PEXPIREAT k 33177117420123
        :1
        > PEXPIRETIME k
        :33177117420123
        > EXPIRETIME k
        :33177117420
        > EXPIRE k -1
        :1
        > TTL k
        :-2

        == reading an expired key deletes it
        @ inorder
        > SET k v PX 1
        +OK
        ? EXISTS k = :0
        > GET k
        nil
        > TTL k
        :-2
        > SET k w NX
        +OK
        "#,
    );
}

/// Nobody looks at the keys, so only the server's own round can delete them.
#[test]
fn expired_keys_go_away_unread() {
    let server = judged::start();
    let mut connection = server.connect();
    for i in 0..5000 {
        let words = [
            "SET",
            &format!("key:{i}"),
            "v",
            "PX",
            &(1 + i % 50).to_string(),
        ];
        assert_eq!(connection.call(&words), Value::ok());
    }
    connection.line("SET stays v EX 10000");
    until("the expired keys to go away", || {
        (connection.line("DBSIZE") == Value::Int(1)).then_some(())
    });
    assert_eq!(connection.line("GET stays"), Value::bulk("v"));
    let info = connection.line("INFO stats").string();
    assert!(info.contains("expired_keys:5000\r\n"), "{info}");
}

#[test]
fn without_the_active_round_keys_wait_for_a_reader() {
    let server = judged::start();
    let mut connection = server.connect();
    assert_eq!(connection.line("DEBUG SET-ACTIVE-EXPIRE 0"), Value::ok());
    connection.line("SET k v PX 1");
    // Another key's passing shows that the time is over, without any look at `k`.
    connection.line("SET clock v PX 20");
    until("the clock key to expire", || {
        (connection.line("EXISTS clock") == Value::Int(0)).then_some(())
    });
    assert_eq!(connection.line("DBSIZE"), Value::Int(1));
    assert_eq!(connection.line("GET k"), Value::NullBulk);
    assert_eq!(connection.line("DBSIZE"), Value::Int(0));
}
