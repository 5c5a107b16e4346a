//! The steady state allocates nothing: lend a chunk, read, look, write, put it back, ask the time and the kernel.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::time::Duration;
use std::alloc::System;
use std::net::TcpStream;
use std::thread::sleep;

use resound_sockets::clock::Clock;
use resound_sockets::pool::Pool;
use resound_sockets::tcp::{self, DialOptions, Dialing, ListenOptions};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches only a `Cell` of this thread that needs
// neither initialization nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn an_echo_in_the_steady_state_allocates_nothing() {
    let listener = tcp::listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
    let Ok(Dialing::Up(near, _) | Dialing::Pending(near)) =
        tcp::dial(listener.local_addr().unwrap(), &DialOptions::default())
    else {
        panic!("the dial failed");
    };
    let far = loop {
        match tcp::accept(&listener).unwrap() {
            Some((far, _)) => break far,
            None => sleep(Duration::from_millis(1)),
        }
    };
    let (pool, clock) = (Pool::default(), Clock::start());
    let give_up = clock.now() + Duration::from_secs(60);
    let take_ten_bytes = |from: &TcpStream| {
        let mut chunk = pool.lend();
        while chunk.bytes().len() < 10 {
            assert!(!clock.until(give_up).is_zero(), "waited in vain for ten bytes");
            assert_ne!(tcp::read(from, &mut chunk), Some(Ok(0)));
        }
        chunk
    };
    let echo = || {
        assert_eq!(tcp::write(&near, &[b"who", b"is", b"there"]), Some(Ok(10)));
        let question = take_ten_bytes(&far);
        assert_eq!(tcp::write(&far, &[question.bytes()]), Some(Ok(10)));
        pool.put_back(question);
        pool.put_back(take_ten_bytes(&near));
        let _ = tcp::kernel_view(&near);
    };
    echo();
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the counter counts nothing");
    (0..1000).for_each(|_| echo());
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
