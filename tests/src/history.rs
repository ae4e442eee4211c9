//! Is what clients saw strictly serializable?
//!
//! Keys hold lists, and operations append values that nobody else appends, so that one look at a key
//! at the end tells in which order it was written, and every read tells between which two writes it
//! happened. That orders operations: a write before the next one of its key, a write before a read
//! that has it, a read before the write that it has not, and an answer before every operation that
//! was begun later. The history is strictly serializable if and only if these orders have no cycle
//! (Adya's direct serialization graph; Kingsbury and Alvaro's Elle finds it from lists in this way).
//!
//! Operations that end before others begin would give a square number of edges. Instead, each answer
//! is a node of its own on a line of time, which leads on to the next answer and to what begins then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;

pub type Key = u64;
pub type Value = u64;

/// What one client did, and saw, as one.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    pub what: &'static str,
    pub client: usize,
    /// When it was sent, on a clock that orders all clients' events.
    pub invoked: u64,
    /// When it was answered; nothing if its client did not see that.
    pub returned: Option<u64>,
    /// Whole lists, as they were before what the operation itself appends, or after.
    pub reads: Vec<(Key, Vec<Value>)>,
    pub appends: Vec<(Key, Value)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    NextWrite(Key),
    Seen(Key),
    NotSeen(Key),
    Time,
}

struct Graph {
    edges: Vec<Vec<(u32, Reason)>>,
}

/// Checks a history against the lists at the end; an error says what cannot be.
///
/// An operation without an answer counts if any of its values is there: then all have to be.
pub fn check(operations: &[Operation], finals: &BTreeMap<Key, Vec<Value>>) -> Result<(), String> {
    let mut writers: HashMap<(Key, Value), u32> = HashMap::new();
    for (i, operation) in operations.iter().enumerate() {
        for append in &operation.appends {
            if writers.insert(*append, i as u32).is_some() {
                return Err(format!("the test appends {append:?} twice"));
            }
        }
    }
    let mut positions: HashMap<(Key, Value), usize> = HashMap::new();
    for (key, list) in finals {
        for (at, value) in list.iter().enumerate() {
            if !writers.contains_key(&(*key, *value)) {
                return Err(format!("key {key} has {value}, which nobody appended"));
            }
            if positions.insert((*key, *value), at).is_some() {
                return Err(format!("key {key} has {value} twice"));
            }
        }
    }
    let mut graph = Graph {
        edges: vec![Vec::new(); operations.len()],
    };
    for (i, operation) in operations.iter().enumerate() {
        let there = |append: &(Key, Value)| positions.contains_key(append);
        let any = operation.returned.is_some() || operation.appends.iter().any(there);
        if any && let Some(lost) = operation.appends.iter().find(|append| !there(append)) {
            return Err(format!(
                "the append of {lost:?} is lost: {}",
                describe(i, operation)
            ));
        }
    }
    order_by_values(operations, finals, &writers, &mut graph)?;
    order_by_time(operations, &mut graph);
    match graph.cycle(operations.len()) {
        None => Ok(()),
        Some(cycle) => Err(report(operations, &cycle)),
    }
}

fn order_by_values(
    operations: &[Operation],
    finals: &BTreeMap<Key, Vec<Value>>,
    writers: &HashMap<(Key, Value), u32>,
    graph: &mut Graph,
) -> Result<(), String> {
    let writer = |key: Key, value: Value| writers[&(key, value)];
    for (&key, list) in finals {
        for pair in list.windows(2) {
            let (from, to) = (writer(key, pair[0]), writer(key, pair[1]));
            graph.edge(from, to, Reason::NextWrite(key));
        }
    }
    let empty = Vec::new();
    for (i, operation) in operations.iter().enumerate() {
        let i = i as u32;
        for (key, seen) in &operation.reads {
            let list = finals.get(key).unwrap_or(&empty);
            if !list.starts_with(seen) {
                return Err(format!(
                    "{} saw {seen:?} in key {key}, which ended as {list:?}",
                    describe(i as usize, operation)
                ));
            }
            // Its own values say nothing about others.
            let others = |value: &&Value| writer(*key, **value) != i;
            if let Some(last) = seen.iter().rev().find(others) {
                graph.edge(writer(*key, *last), i, Reason::Seen(*key));
            }
            if let Some(next) = list[seen.len()..].iter().find(others) {
                graph.edge(i, writer(*key, *next), Reason::NotSeen(*key));
            }
        }
    }
    Ok(())
}

/// Nodes after the operations' are the moments of answers, in order.
fn order_by_time(operations: &[Operation], graph: &mut Graph) {
    // An answer comes before what begins at the same moment only if the clock says so: strictly later.
    let mut events: Vec<(u64, bool, u32)> = Vec::new();
    for (i, operation) in operations.iter().enumerate() {
        events.push((operation.invoked, false, i as u32));
        if let Some(returned) = operation.returned {
            events.push((returned, true, i as u32));
        }
    }
    events.sort_unstable();
    let mut last: Option<u32> = None;
    for (_, returned, i) in events {
        if !returned {
            if let Some(last) = last {
                graph.edge(last, i, Reason::Time);
            }
            continue;
        }
        let moment = graph.edges.len() as u32;
        graph.edges.push(Vec::new());
        graph.edge(i, moment, Reason::Time);
        if let Some(last) = last {
            graph.edge(last, moment, Reason::Time);
        }
        last = Some(moment);
    }
}

impl Graph {
    fn edge(&mut self, from: u32, to: u32, reason: Reason) {
        if from != to {
            self.edges[from as usize].push((to, reason));
        }
    }

    /// A short cycle, as nodes below `operations` with the reason why each comes before the next.
    fn cycle(&self, operations: usize) -> Option<Vec<(u32, Reason)>> {
        let components = self.components();
        let mut sizes: HashMap<u32, usize> = HashMap::new();
        for component in &components {
            *sizes.entry(*component).or_default() += 1;
        }
        let start = (0..operations).find(|i| sizes[&components[*i]] > 1)?;
        Some(self.shortest(start as u32, &components, operations as u32))
    }

    /// The strongly connected component of each node (Tarjan's algorithm, with its own stack).
    fn components(&self) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let n = self.edges.len();
        let (mut index, mut low) = (vec![NONE; n], vec![0; n]);
        let (mut component, mut stack) = (vec![NONE; n], Vec::new());
        let (mut next, mut components) = (0, 0);
        for root in 0..n {
            if index[root] != NONE {
                continue;
            }
            let mut path = vec![(root, 0)];
            while let Some(&(node, at)) = path.last() {
                if at == 0 {
                    index[node] = next;
                    low[node] = next;
                    next += 1;
                    stack.push(node);
                }
                if let Some(&(to, _)) = self.edges[node].get(at) {
                    path.last_mut().expect("it is not empty").1 += 1;
                    let to = to as usize;
                    if index[to] == NONE {
                        path.push((to, 0));
                    } else if component[to] == NONE {
                        low[node] = low[node].min(index[to]);
                    }
                    continue;
                }
                path.pop();
                if let Some(&(parent, _)) = path.last() {
                    low[parent] = low[parent].min(low[node]);
                }
                if low[node] == index[node] {
                    while let Some(member) = stack.pop() {
                        component[member] = components;
                        if member == node {
                            break;
                        }
                    }
                    components += 1;
                }
            }
        }
        component
    }

    /// The shortest way from a node back to itself, within its component; moments of time left out.
    fn shortest(&self, start: u32, components: &[u32], operations: u32) -> Vec<(u32, Reason)> {
        let mut came: HashMap<u32, (u32, Reason)> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        'search: while let Some(node) = queue.pop_front() {
            for &(to, reason) in &self.edges[node as usize] {
                if components[to as usize] != components[start as usize] || came.contains_key(&to) {
                    continue;
                }
                came.insert(to, (node, reason));
                if to == start {
                    break 'search;
                }
                queue.push_back(to);
            }
        }
        let mut cycle = Vec::new();
        let mut node = start;
        loop {
            let (from, reason) = came[&node];
            if from < operations {
                cycle.push((from, reason));
            }
            node = from;
            if node == start {
                break;
            }
        }
        cycle.reverse();
        cycle
    }
}

fn describe(i: usize, operation: &Operation) -> String {
    let Operation {
        what,
        client,
        invoked,
        returned,
        reads,
        appends,
    } = operation;
    let end = returned.map_or("never".to_owned(), |returned| returned.to_string());
    format!(
        "operation {i} ({what} of client {client}, from {invoked} to {end}, \
         read {reads:?}, appended {appends:?})"
    )
}

fn report(operations: &[Operation], cycle: &[(u32, Reason)]) -> String {
    let mut text = "these operations have no order:\n".to_owned();
    for (at, (i, reason)) in cycle.iter().enumerate() {
        let (next, _) = cycle[(at + 1) % cycle.len()];
        let why = match reason {
            Reason::NextWrite(key) => format!("it wrote key {key} just before"),
            Reason::Seen(key) => format!("its write of key {key} was read by"),
            Reason::NotSeen(key) => format!("it read key {key} before the write of"),
            Reason::Time => "it was answered before the begin of".to_owned(),
        };
        let operation = describe(*i as usize, &operations[*i as usize]);
        writeln!(
            text,
            "  {operation}\n    comes first: {why} operation {next}"
        )
        .expect("a string takes text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reads<'a> = &'a [(Key, &'a [Value])];

    fn operation(
        invoked: u64,
        returned: u64,
        reads: Reads<'_>,
        appends: &[(Key, Value)],
    ) -> Operation {
        Operation {
            what: "test",
            client: 0,
            invoked,
            returned: (returned > 0).then_some(returned),
            reads: reads
                .iter()
                .map(|(key, list)| (*key, list.to_vec()))
                .collect(),
            appends: appends.to_vec(),
        }
    }

    fn verdict(operations: &[Operation], finals: &[(Key, &[Value])], want: &str) {
        let finals = finals
            .iter()
            .map(|(key, list)| (*key, list.to_vec()))
            .collect();
        let got = check(operations, &finals)
            .err()
            .unwrap_or("fine".to_owned());
        assert!(got.contains(want), "{got}");
    }

    #[test]
    fn what_one_core_could_do_is_fine() {
        let operations = [
            operation(1, 10, &[], &[(1, 11), (2, 21)]),
            operation(2, 9, &[(1, &[11]), (2, &[21])], &[(1, 12)]),
            operation(3, 8, &[(1, &[]), (2, &[])], &[]),
            operation(11, 12, &[(1, &[11, 12])], &[]),
        ];
        verdict(&operations, &[(1, &[11, 12]), (2, &[21])], "fine");
    }

    #[test]
    fn half_a_transaction_is_seen() {
        let operations = [
            operation(1, 10, &[], &[(1, 11), (2, 21)]),
            operation(2, 9, &[(1, &[11]), (2, &[])], &[]),
        ];
        verdict(&operations, &[(1, &[11]), (2, &[21])], "have no order");
    }

    #[test]
    fn two_reads_disagree_on_the_order() {
        let operations = [
            operation(1, 10, &[], &[(1, 11)]),
            operation(1, 10, &[], &[(2, 21)]),
            operation(1, 10, &[(1, &[11]), (2, &[])], &[]),
            operation(1, 10, &[(1, &[]), (2, &[21])], &[]),
        ];
        verdict(&operations, &[(1, &[11]), (2, &[21])], "have no order");
    }

    #[test]
    fn a_write_is_skewed() {
        let operations = [
            operation(1, 10, &[(1, &[])], &[(2, 21)]),
            operation(1, 10, &[(2, &[])], &[(1, 11)]),
        ];
        verdict(&operations, &[(1, &[11]), (2, &[21])], "have no order");
    }

    #[test]
    fn a_read_is_behind_an_answer() {
        let operations = [
            operation(1, 2, &[], &[(1, 11)]),
            operation(3, 4, &[(1, &[])], &[]),
        ];
        verdict(&operations, &[(1, &[11])], "answered before the begin");
        let operations = [
            operation(1, 3, &[], &[(1, 11)]),
            operation(2, 4, &[(1, &[])], &[]),
        ];
        verdict(&operations, &[(1, &[11])], "fine");
    }

    #[test]
    fn values_are_lost_doubled_or_strange() {
        let write = operation(1, 2, &[], &[(1, 11)]);
        verdict(std::slice::from_ref(&write), &[(1, &[])], "lost");
        verdict(std::slice::from_ref(&write), &[(1, &[11, 11])], "twice");
        verdict(&[write], &[(1, &[11, 12])], "nobody appended");
        let unanswered = operation(1, 0, &[], &[(1, 11), (2, 21)]);
        verdict(std::slice::from_ref(&unanswered), &[], "fine");
        verdict(&[unanswered], &[(1, &[11])], "lost");
        let read = operation(1, 2, &[(1, &[12])], &[]);
        let other = operation(1, 2, &[], &[(1, 12)]);
        verdict(&[read, other], &[(1, &[12])], "fine");
    }
}
