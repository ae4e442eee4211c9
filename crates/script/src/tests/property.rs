//! Whatever bytes the libraries read, they do no harm, and what they write they read.

use super::{start, vm};
use crate::{Turn, Vm};
use proptest::prelude::*;

/// Runs a script whose ARGV is not text, by way of an answer.
fn feed(vm: &Vm, body: &str, input: &[u8]) -> String {
    let mut run = start(vm, &format!("local s = redis.call('x') {body}"));
    run.resume();
    let header = format!("${}\r\n", input.len());
    let mut turn = run.answer(&[header.as_bytes(), input, b"\r\n"].concat());
    while turn == Turn::Paused {
        turn = run.resume();
    }
    super::finish(run)
}

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        "[\\[\\]{}:,\" 0-9eE.+-]",
        "null|true|false|nan|inf|-Infinity",
        "\"[a-z\\\\u0-9/]*\"",
        "\\\\u[0-9a-fA-F]{0,4}",
        "\\\\ud83d\\\\ude00",
        "0x[0-9a-f]*",
        "\\PC",
    ];
    prop::collection::vec(token, 0..20).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn json_is_read_without_harm(input in prop_oneof![json_like(), prop::collection::vec(any::<u8>(), 0..40)]) {
        let vm = vm();
        feed(&vm, "return tostring(pcall(cjson.decode,s))", &input);
    }

    /// What is read is written and read as the same.
    #[test]
    fn json_comes_round(input in prop::collection::vec(any::<u8>(), 0..60)) {
        let vm = vm();
        let body = "local t = {s, {a=s, [s..'k']=1.5}, 12, true} local u = cjson.decode(cjson.encode(t))
            return tostring(u[1]==s and u[2].a==s and u[2][s..'k']==1.5 and u[3]==12 and u[4]==true)";
        prop_assert_eq!(feed(&vm, body, &input), "$4\r\ntrue\r\n");
    }

    #[test]
    fn messagepack_is_read_without_harm(input in prop::collection::vec(any::<u8>(), 0..60)) {
        let vm = vm();
        let body = "pcall(cmsgpack.unpack_one,s) pcall(cmsgpack.unpack_limit,s,3,1) return tostring(pcall(cmsgpack.unpack,s))";
        feed(&vm, body, &input);
    }

    #[test]
    fn messagepack_comes_round(input in prop::collection::vec(any::<u8>(), 0..300), n in any::<i64>(), d in any::<f64>()) {
        prop_assume!(d.is_finite());
        let vm = vm();
        let body = format!("local n, d = {n}, {d:e} local a, b, c, t = cmsgpack.unpack(cmsgpack.pack(s, n, d, {{s, {{k=s}}}}))
            return tostring(a==s and b==n and c==d and t[1]==s and t[2].k==s)");
        prop_assert_eq!(feed(&vm, &body, &input), "$4\r\ntrue\r\n");
    }

    #[test]
    fn records_are_read_without_harm(format in "[<>! bBhHlLiITfdxcs0-9]{0,12}", input in prop::collection::vec(any::<u8>(), 0..40), at in -5i32..50) {
        let vm = vm();
        let body = format!("pcall(struct.size,'{format}') pcall(struct.pack,'{format}',1,2,s,4,s,6) return tostring(pcall(struct.unpack,'{format}',s,{at}))");
        feed(&vm, &body, &input);
    }

    #[test]
    fn records_come_round(n in any::<i32>(), d in any::<f64>(), input in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assume!(d.is_finite());
        let vm = vm();
        let body = format!("local a,b,c,e,at = struct.unpack('>!8i<dIc0>h', struct.pack('>!8i<dIc0>h', {n}, {d:e}, #s, s, -2))
            return tostring(a=={n} and b=={d:e} and c==s and e==-2)");
        prop_assert_eq!(feed(&vm, &body, &input), "$4\r\ntrue\r\n");
    }

    #[test]
    fn source_text_does_no_harm(input in "[a-z0-9=\\[\\](){}.,:;'\"~<>+*/%^#\\\\ \n-]{0,80}") {
        let vm = vm();
        feed(&vm, "return tostring(loadstring(s))", input.as_bytes());
    }
}
