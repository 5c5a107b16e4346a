//! The steady state allocates nothing: lend a chunk, read, look, write, put it back, ask the time and the kernel; and over
//! UDP a batch, an error, a train and its way back.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::task::Poll;
use core::time::Duration;
use std::alloc::System;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::sleep;

use resound_core::datagram::{Fact, Port, Reading, Sending};
use resound_core::stream::Via;
use resound_sockets::clock::Clock;
use resound_sockets::pool::Pool;
use resound_sockets::port::Left;
use resound_sockets::tcp::{self, DialOptions, Dialing, ListenOptions};
use resound_sockets::udp::{Endpoint, Errors, Exchange, Options, Sizes, Socket, Want, bind};

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

/// A socket that nobody waits for.
#[derive(Debug)]
struct Bare(UdpSocket);

impl Socket for Bare {
    type Context<'a> = ();

    fn register(fd: OwnedFd, (): &mut ()) -> io::Result<Self> {
        Ok(Self(fd.into()))
    }

    fn poll_ready(&mut self, _: Want, (): &mut ()) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn attempt<T>(&mut self, _: Want, call: impl FnOnce(BorrowedFd<'_>) -> (T, Left)) -> Option<T> {
        Some(call(self.0.as_fd()).0)
    }
}

impl AsFd for Bare {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[test]
fn datagrams_in_the_steady_state_allocate_nothing() {
    let endpoint = |errors| {
        let options = Options { errors, ..Options::default() };
        let socket = bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let addr = socket.local_addr().unwrap();
        (Endpoint::new(Bare(socket), Sizes::default()).unwrap(), addr)
    };
    let ((mut client, _), (mut server, to)) = (endpoint(Errors::Queued), endpoint(Errors::Unheard));
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dead = taken.local_addr().unwrap();
    taken.connect("127.0.0.1:9").unwrap();
    let (mut icmp, mut echoed) = (0, 0);
    let mut echo = || {
        let (mut here, mut there) = ((), ());
        let (mut client, mut server) =
            (Exchange::new(&mut client, &mut here), Exchange::new(&mut server, &mut there));
        for to in [to, dead, to, to] {
            client.batch().push(to, 5).unwrap().copy_from_slice(b"hello");
        }
        assert_eq!(client.send(|_| ()), Sending::Done);
        client.errors(|fact| icmp += usize::from(matches!(fact, Fact::Icmp { .. })));
        let reading = server.receive(Via::Kernel, |fact| {
            let Fact::Received { train } = fact else { panic!("{fact:?}") };
            train.echo.set(train.count());
        });
        assert_eq!(reading, Reading::Some { bytes: 15 });
        client.receive(Via::Kernel, |fact| {
            let Fact::Received { train } = fact else { panic!("{fact:?}") };
            echoed += train.count();
        });
        assert_eq!((client.overrun(), server.overrun()), (0, 0));
    };
    echo();
    let before = ALLOCATIONS.get();
    (0..1000).for_each(|_| echo());
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!((icmp, echoed), (1_001, 3_003));
}
