use super::*;
use std::rc::Rc;

/// Pops everything that is there.
fn drain<T>(consumer: &mut Consumer<T>) -> Vec<T> {
    consumer.look();
    let messages = std::iter::from_fn(|| consumer.pop()).collect();
    consumer.release();
    messages
}

#[test]
fn messages_come_out_in_order_round_and_round() {
    for capacity in [1, 2, 8] {
        let (mut producer, mut consumer) = ring(capacity);
        let mut next = 0;
        for batch in 0..40 {
            let batch = batch % (capacity + 1);
            for i in next..next + batch {
                producer.push(i).expect("there is room");
            }
            assert!(drain(&mut consumer).is_empty(), "not published");
            assert_eq!(producer.publish(), batch > 0);
            assert_eq!(consumer.is_empty(), batch == 0);
            let expected: Vec<_> = (next..next + batch).collect();
            assert_eq!(drain(&mut consumer), expected);
            assert!(consumer.is_empty());
            next += batch;
        }
    }
}

#[test]
fn a_full_ring_gives_the_message_back() {
    let (mut producer, mut consumer) = ring(2);
    assert_eq!(producer.push("a"), Ok(()));
    assert_eq!(producer.push("b"), Ok(()));
    assert_eq!(producer.push("c"), Err("c"));
    assert!(producer.publish() && !producer.publish());
    assert_eq!(consumer.look(), 2);
    assert_eq!(consumer.pop(), Some("a"));
    assert_eq!(producer.push("c"), Err("c"), "not released");
    assert!(consumer.release() && !consumer.release());
    assert_eq!(producer.push("c"), Ok(()));
    assert!(producer.publish());
    assert_eq!(consumer.pop(), Some("b"));
    assert_eq!(consumer.pop(), None, "not looked at");
    assert_eq!(drain(&mut consumer), ["c"]);
}

#[test]
fn indices_may_wrap() {
    let (mut producer, mut consumer) = ring(2);
    let start = usize::MAX - 2;
    producer
        .ring
        .producer
        .0
        .tail
        .store(start, Ordering::Relaxed);
    producer.ring.head.0.store(start, Ordering::Relaxed);
    (producer.pushed, producer.published, producer.head) = (start, start, start);
    (consumer.popped, consumer.released, consumer.tail) = (start, start, start);
    for i in 0..4 {
        assert_eq!(producer.push(2 * i), Ok(()));
        assert_eq!(producer.push(2 * i + 1), Ok(()));
        assert_eq!(producer.push(99), Err(99));
        assert!(producer.publish());
        assert_eq!(drain(&mut consumer), [2 * i, 2 * i + 1]);
    }
}

#[test]
#[should_panic]
fn a_capacity_is_a_power_of_two() {
    ring::<u8>(3);
}

/// Messages that are left, in whatever state, are dropped once.
#[test]
fn what_is_left_is_dropped() {
    for consumer_goes_first in [false, true] {
        for popped in 0..=3 {
            let message = std::sync::Arc::new(());
            let (mut producer, mut consumer) = ring(8);
            for _ in 0..3 {
                assert!(producer.push(message.clone()).is_ok());
            }
            producer.publish();
            assert!(producer.push(message.clone()).is_ok());
            consumer.look();
            for _ in 0..popped {
                assert!(consumer.pop().is_some());
            }
            assert_eq!(std::sync::Arc::strong_count(&message), 5 - popped);
            if consumer_goes_first {
                drop(consumer);
                drop(producer);
            } else {
                drop(producer);
                drop(consumer);
            }
            assert_eq!(std::sync::Arc::strong_count(&message), 1);
        }
    }
}

#[test]
fn ends_are_sent_but_not_shared() {
    /// What holds where no inherent constant says better.
    trait Otherwise {
        const SEND: bool = false;
        const SYNC: bool = false;
    }
    struct IsSend<T>(PhantomData<T>);
    impl<T> Otherwise for IsSend<T> {}
    impl<T: Send> IsSend<T> {
        const SEND: bool = true;
    }
    struct IsSync<T>(PhantomData<T>);
    impl<T> Otherwise for IsSync<T> {}
    impl<T: Sync> IsSync<T> {
        const SYNC: bool = true;
    }
    const {
        assert!(IsSend::<Producer<Vec<u8>>>::SEND && IsSend::<Consumer<Vec<u8>>>::SEND);
        assert!(!IsSend::<Producer<Rc<u8>>>::SEND && !IsSend::<Consumer<Rc<u8>>>::SEND);
        assert!(!IsSync::<Producer<u8>>::SYNC && !IsSync::<Consumer<u8>>::SYNC);
        assert!(IsSync::<Vec<u8>>::SYNC);
    }
}
