//! What `resound_sockets::tcp` relies on, asked of the kernel this runs on, over loopback.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resound_core::Chunk;
use resound_core::liveness::KernelView;
use resound_core::signal::{Errno, Signal};
use resound_core::stream::admission::Event;
use resound_core::stream::{Close, Established};
use resound_sockets::errno;
use resound_sockets::tcp::{
    DialOptions, Dialing, GATHER, Linger, ListenOptions, ReadBack, Sharing, Wildcard, accept, arrival, close,
    describe, dial, dial_witnessed, finish_dial, kernel_view, listen, outstanding, read, shutdown_write,
    write,
};
use resound_sockets::udp::icmp_errors;
use socket2::{Domain, SockRef, Socket, Type};

/// Far more than anything on loopback takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

const LOCAL: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(1));
    }
}

/// Waits until the socket knows that it has ended, and takes nothing of what it has to say.
fn until_hung_up(fd: impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    let timeout = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut fds, timeout).unwrap(), 1, "waited in vain for the end");
}

fn dialed(to: SocketAddr, options: &DialOptions) -> Result<(TcpStream, Established), Signal> {
    match dial(to, options)? {
        Dialing::Up(stream, established) => Ok((stream, established)),
        Dialing::Pending(stream) => {
            let ended = eventually("the dial to end", || finish_dial(&stream))?;
            Ok((stream, ended))
        }
    }
}

fn listening() -> (TcpListener, SocketAddr) {
    let listener = listen(LOCAL, &ListenOptions::default()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    eventually("a connection to accept", || accept(listener).unwrap())
}

/// The two ends of a connection: the one that dialed, the one that was accepted.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listening();
    let (near, _) = dialed(addr, &DialOptions::default()).unwrap();
    (near, accepted(&listener).0)
}

/// One read, once there is something to be said.
fn next(fd: &TcpStream) -> Result<Vec<u8>, Signal> {
    let mut chunk = Chunk::with_capacity(1024);
    let n = eventually("something to read", || read(fd, &mut chunk))?;
    assert_eq!(n, chunk.bytes().len());
    Ok(chunk.bytes().to_vec())
}

fn failed<T>(errno: Errno) -> Result<T, Signal> {
    Err(Signal::Errno(errno))
}

/// Writes until the kernel takes no more, here and over there.
fn fill(fd: &TcpStream) {
    let block = [0; 1 << 16];
    let mut refusals = 0;
    while refusals < 50 {
        match write(fd, &[&block]) {
            Some(Ok(_)) => refusals = 0,
            Some(Err(signal)) => panic!("{signal:?}"),
            None => {
                refusals += 1;
                sleep(Duration::from_millis(1));
            }
        }
    }
}

mod dialing {
    use super::*;

    #[test]
    fn a_dial_comes_up_and_both_ends_agree_who_they_are() {
        let (listener, addr) = listening();
        let (near, established) = dialed(addr, &DialOptions::default()).unwrap();
        let (far, peer) = accepted(&listener);
        assert_eq!(established.local, Some(peer));
        assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
        assert_eq!(finish_dial(&near), Some(Ok(established)));
    }

    #[test]
    fn neither_end_blocks_or_waits_for_more_to_send_or_outlives_an_exec() {
        let (near, far) = pair();
        for end in [near, far] {
            assert_eq!(fcntl(&end, FcntlArg::F_GETFD), Ok(FdFlag::FD_CLOEXEC.bits()));
            let end = SockRef::from(&end);
            assert!(end.nonblocking().unwrap());
            assert!(end.tcp_nodelay().unwrap());
        }
    }

    #[test]
    fn a_port_where_nobody_listens_refuses() {
        let holder = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        holder.bind(&LOCAL.into()).unwrap();
        let addr = holder.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(dialed(addr, &DialOptions::default()).map(drop), failed(Errno::ConnRefused));
    }

    #[test]
    fn a_dial_that_meets_itself_is_told_apart_from_a_server() {
        // The port was free a moment ago; somebody may have taken it since.
        let result = eventually("a free port", || {
            let port = UdpSocket::bind(LOCAL).unwrap().local_addr().unwrap().port();
            let own = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let options = DialOptions { bind: Some(own), ..DialOptions::default() };
            Some(dialed(own, &options).map(drop)).filter(|result| *result != failed(Errno::AddrInUse))
        });
        assert_eq!(result, Err(Signal::SelfConnect));
    }

    #[test]
    fn a_dial_leaves_from_the_address_it_was_given() {
        let (_listener, addr) = listening();
        let from = SocketAddr::from(([127, 0, 0, 9], 0));
        let options = DialOptions { bind: Some(from), ..DialOptions::default() };
        let (_near, established) = dialed(addr, &options).unwrap();
        assert_eq!(established.local.unwrap().ip(), from.ip());
    }

    #[test]
    fn what_keeps_a_socket_from_being_bound_is_told() {
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        let options = DialOptions { bind: Some(foreign), ..DialOptions::default() };
        assert_eq!(dialed(listening().1, &options).map(drop), failed(Errno::AddrNotAvail));
    }

    #[test]
    fn a_full_accept_queue_leaves_a_dial_pending_until_there_is_room() {
        let listener = listen(LOCAL, &ListenOptions { backlog: 1, ..ListenOptions::default() }).unwrap();
        let addr = listener.local_addr().unwrap();
        let options = DialOptions::default();
        let _first = dialed(addr, &options).unwrap();
        let _second = dialed(addr, &options).unwrap();
        let Dialing::Pending(third) = dial(addr, &options).unwrap() else {
            panic!("a queue of one holds two")
        };
        sleep(Duration::from_millis(50));
        assert_eq!(finish_dial(&third), None);
        accepted(&listener);
        assert!(eventually("the third dial", || finish_dial(&third)).is_ok());
    }
}

mod endings {
    use super::*;

    /// A connection whose far end has written `bye` and closed while bytes from here were unread: a reset.
    fn reset_after_data() -> TcpStream {
        let (near, far) = pair();
        assert_eq!(write(&near, &[b"unread"]), Some(Ok(6)));
        eventually("the bytes over there", || far.peek(&mut [0; 8]).ok());
        assert_eq!(write(&far, &[b"bye"]), Some(Ok(3)));
        close(far, Close::Drop);
        until_hung_up(&near);
        near
    }

    #[test]
    fn a_reader_gets_what_came_before_the_reset_then_the_reset_once() {
        let near = reset_after_data();
        assert_eq!(next(&near), Ok(b"bye".to_vec()));
        assert_eq!(next(&near), failed(Errno::ConnReset));
        assert_eq!(next(&near), Ok(vec![]));
    }

    #[test]
    fn a_writer_eats_the_reset_and_the_reader_sees_a_clean_end() {
        let near = reset_after_data();
        assert_eq!(write(&near, &[b"x"]), Some(failed(Errno::ConnReset)));
        assert_eq!(write(&near, &[b"x"]), Some(failed(Errno::Pipe)));
        assert_eq!(next(&near), Ok(b"bye".to_vec()));
        assert_eq!(next(&near), Ok(vec![]));
    }

    #[test]
    fn asked_for_so_error_first_the_kernel_hides_the_reset_from_the_reader() {
        let near = reset_after_data();
        let told = SockRef::from(&near).take_error().unwrap().unwrap();
        assert_eq!(errno::signal(&told), Signal::Errno(Errno::ConnReset));
        assert_eq!(next(&near), Ok(b"bye".to_vec()));
        assert_eq!(next(&near), Ok(vec![]));
    }

    #[test]
    fn after_a_clean_end_the_first_write_is_taken_and_the_second_is_a_broken_pipe() {
        let (near, far) = pair();
        close(far, Close::Drop);
        assert_eq!(next(&near), Ok(vec![]));
        assert_eq!(write(&near, &[b"x"]), Some(Ok(1)));
        until_hung_up(&near);
        assert_eq!(next(&near), Ok(vec![]));
        assert_eq!(write(&near, &[b"x"]), Some(failed(Errno::Pipe)));
        assert_eq!(next(&near), Ok(vec![]));
    }

    #[test]
    fn a_reset_is_heard_as_one() {
        let (near, far) = pair();
        close(far, Close::Reset);
        assert_eq!(next(&near), failed(Errno::ConnReset));
    }

    #[test]
    fn a_half_close_ends_one_direction_only() {
        let (near, far) = pair();
        assert_eq!(write(&near, &[b"last"]), Some(Ok(4)));
        shutdown_write(&near);
        assert_eq!(next(&far), Ok(b"last".to_vec()));
        assert_eq!(next(&far), Ok(vec![]));
        assert_eq!(write(&far, &[b"answer"]), Some(Ok(6)));
        assert_eq!(next(&near), Ok(b"answer".to_vec()));
    }

    #[test]
    fn a_close_never_waits_whatever_lingers() {
        let (near, _far) = pair();
        SockRef::from(&near).set_linger(Some(Duration::from_secs(10))).unwrap();
        fill(&near);
        let began = Instant::now();
        close(near, Close::Drop);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

mod listening_and_accepting {
    use super::*;

    #[test]
    fn nobody_there_is_none() {
        assert!(accept(listening().0).unwrap().is_none());
    }

    #[test]
    fn a_connection_reset_in_the_queue_is_accepted_with_its_address_and_read_as_reset() {
        let (listener, addr) = listening();
        let (near, established) = dialed(addr, &DialOptions::default()).unwrap();
        close(near, Close::Reset);
        let (far, peer) = accepted(&listener);
        assert_eq!(Some(peer), established.local);
        until_hung_up(&far);
        assert!(far.peer_addr().is_err());
        assert_eq!(next(&far), failed(Errno::ConnReset));
    }

    #[test]
    fn a_listener_that_goes_resets_who_waits_in_its_queue() {
        let (listener, addr) = listening();
        let (near, _) = dialed(addr, &DialOptions::default()).unwrap();
        drop(listener);
        assert_eq!(next(&near), failed(Errno::ConnReset));
    }

    #[test]
    fn a_restarted_server_gets_its_port_and_a_second_one_does_not() {
        let (listener, addr) = listening();
        let (near, _) = dialed(addr, &DialOptions::default()).unwrap();
        let (far, _) = accepted(&listener);
        let second = listen(addr, &ListenOptions::default()).unwrap_err();
        assert_eq!(errno::signal(&second), Signal::Errno(Errno::AddrInUse));
        // The side that closes first is the one that keeps the port in FIN_WAIT2 and TIME_WAIT.
        drop((listener, far));
        assert_eq!(next(&near), Ok(vec![]));
        listen(addr, &ListenOptions::default()).unwrap();
        drop(near);
        listen(addr, &ListenOptions::default()).unwrap();
    }

    #[test]
    fn the_v6_wildcard_takes_v4_unless_told_otherwise() {
        let on_wildcard = |wildcard| {
            let options = ListenOptions { wildcard, ..ListenOptions::default() };
            match listen((Ipv6Addr::UNSPECIFIED, 0).into(), &options) {
                // A host without IPv6 has nothing to be asked.
                Err(error) if errno::signal(&error) == Signal::Errno(Errno::AfNoSupport) => None,
                other => Some(other.unwrap()),
            }
        };
        let only_v6 = |listener: &TcpListener| SockRef::from(listener).only_v6().unwrap();
        let Some(alone) = on_wildcard(Wildcard::V6Only) else { return };
        assert!(only_v6(&alone));
        let both = on_wildcard(Wildcard::Both).unwrap();
        assert!(!only_v6(&both));
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, both.local_addr().unwrap().port()));
        let (_near, established) = dialed(v4, &DialOptions::default()).unwrap();
        let (_far, peer) = accepted(&both);
        assert_eq!(Some(peer.ip().to_canonical()), established.local.map(|local| local.ip()));
    }
}

mod bytes {
    use super::*;

    #[test]
    fn nothing_to_read_is_none_and_marks_nothing() {
        let (near, _far) = pair();
        let mut chunk = Chunk::with_capacity(8);
        assert_eq!(read(&near, &mut chunk), None);
        assert!(chunk.is_empty());
    }

    #[test]
    fn reads_go_on_where_the_last_one_ended_and_a_full_chunk_is_no_end() {
        let (near, far) = pair();
        assert_eq!(write(&near, &[b"abcdef"]), Some(Ok(6)));
        let mut chunk = Chunk::with_capacity(4);
        assert_eq!(eventually("bytes", || read(&far, &mut chunk)), Ok(4));
        assert_eq!(read(&far, &mut chunk), Some(failed(Errno::NoBufs)));
        chunk.consume(4);
        assert_eq!(read(&far, &mut chunk), Some(Ok(2)));
        assert_eq!(chunk.bytes(), b"ef");
    }

    #[test]
    fn slices_leave_in_order_and_no_more_than_one_call_takes() {
        let (near, far) = pair();
        let all: Vec<u8> = (0..100).collect();
        let slices: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(write(&near, &slices), Some(Ok(GATHER)));
        assert_eq!(next(&far), Ok(all[..GATHER].to_vec()));
        assert_eq!(write(&near, &[b"", b"two", b"", b"one"]), Some(Ok(6)));
        assert_eq!(next(&far), Ok(b"twoone".to_vec()));
        assert_eq!(write(&near, &[]), Some(Ok(0)));
    }
}

#[cfg(target_os = "linux")]
mod the_kernels_view {
    use super::*;

    #[test]
    fn an_idle_connection_owes_nothing_and_its_last_sign_grows_old() {
        let (near, far) = pair();
        assert_eq!(write(&near, &[b"ping"]), Some(Ok(4)));
        next(&far).unwrap();
        let quiet = |view: &KernelView| view.unacked == 0;
        let view = eventually("the acknowledgement", || kernel_view(&near).filter(quiet));
        assert_eq!((view.unsent, view.retransmits, view.backoff, view.probes), (0, 0, 0, 0));
        assert!(view.peer_window.unwrap() > 0);
        sleep(Duration::from_millis(100));
        let later = kernel_view(&near).unwrap();
        assert!(later.since_ack >= Duration::from_millis(50), "{later:?}");
    }

    #[test]
    fn a_peer_that_does_not_read_shows_a_closed_window_and_goes_on_acknowledging() {
        let (near, far) = pair();
        fill(&near);
        let closed = |view: &KernelView| view.peer_window == Some(0) && view.unsent > 0;
        eventually("a closed window", || kernel_view(&near).filter(closed));
        // Window probes are answered: the timer doubles, and nothing is retransmitted.
        let probed = |view: &KernelView| closed(view) && view.backoff > 0;
        let view = eventually("a probe of the window", || kernel_view(&near).filter(probed));
        assert_eq!(view.retransmits, 0, "{view:?}");
        assert!(view.since_ack < Duration::from_secs(5), "{view:?}");
        drop(far);
    }

    #[test]
    fn what_is_no_tcp_socket_has_none() {
        assert_eq!(kernel_view(UdpSocket::bind(LOCAL).unwrap()), None);
    }
}

mod experiments {
    use super::*;

    fn pair_with(options: &ListenOptions) -> (TcpStream, TcpStream) {
        let listener = listen(LOCAL, options).unwrap();
        let (near, _) = dialed(listener.local_addr().unwrap(), &DialOptions::default()).unwrap();
        (near, accepted(&listener).0)
    }

    fn value<'a>(told: &'a [(&'static str, String)], name: &str) -> Option<&'a str> {
        told.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_listener_s_options_are_its_connections_too() {
        let options = ListenOptions {
            backlog: 3,
            receive_buffer: Some(8_000),
            send_buffer: Some(9_000),
            sharing: Sharing::Shared,
            linger: Linger::Zero,
            ..ListenOptions::default()
        };
        let told = describe(listen(LOCAL, &options).unwrap());
        let names: Vec<_> = options.asked().iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 5);
        assert!(names.iter().all(|name| *name == "backlog" || value(&told, name).is_some()), "{told:?}");
        let (_near, far) = pair_with(&options);
        for (told, queue) in [(told, Some("3")), (describe(&far), None)] {
            assert_eq!(value(&told, "SO_REUSEPORT"), Some("on"));
            assert_eq!(value(&told, "SO_LINGER"), Some("0s"));
            #[cfg(target_os = "linux")]
            {
                assert_eq!(value(&told, "SO_RCVBUF"), Some("16000 bytes"), "Linux doubles it");
                assert_eq!(value(&told, "SO_SNDBUF"), Some("18000 bytes"));
                assert_eq!(value(&told, "backlog"), queue);
            }
        }
    }

    #[test]
    fn what_was_left_to_the_kernel_was_not_asked_for() {
        assert_eq!(ListenOptions::default().asked(), [("backlog", String::from("1024"))]);
    }

    #[test]
    fn a_close_with_no_time_to_linger_is_a_reset() {
        let (near, far) = pair_with(&ListenOptions { linger: Linger::Zero, ..ListenOptions::default() });
        close(far, Close::Drop);
        assert_eq!(next(&near), Err(Signal::Errno(Errno::ConnReset)));
        let (near, far) = pair_with(&ListenOptions::default());
        close(far, Close::Drop);
        assert_eq!(next(&near), Ok(vec![]));
    }

    #[test]
    fn a_port_is_shared_by_those_that_all_ask_for_it() {
        let shared = ListenOptions { sharing: Sharing::Shared, ..ListenOptions::default() };
        let first = listen(LOCAL, &shared).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(listen(addr, &ListenOptions::default()).is_err());
        let second = listen(addr, &shared).unwrap();
        assert_eq!(second.local_addr().unwrap(), addr);
    }

    #[test]
    fn an_arrival_tells_which_address_was_asked_and_the_options_only_if_they_are_wanted() {
        let (near, far) = pair();
        let peer = near.local_addr().unwrap();
        for read_back in [ReadBack::Listener, ReadBack::Connections] {
            let Event::Accepted { peer: told, local, options } = arrival::<()>(&far, peer, read_back) else {
                panic!("an arrival is an `Accepted`");
            };
            assert_eq!((told, local), (peer, Some(near.peer_addr().unwrap())));
            assert_eq!(options.is_empty(), read_back == ReadBack::Listener);
        }
    }
}

#[test]
fn options_are_told_as_the_kernel_took_them() {
    let (_listener, addr) = listening();
    let options =
        DialOptions { user_timeout: Some(Duration::from_micros(1_500_001)), ..DialOptions::default() };
    let (near, _) = dialed(addr, &options).unwrap();
    let told = describe(&near);
    let value = |name| told.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    assert_eq!(value("TCP_NODELAY"), Some("on"));
    assert_eq!(value("SO_LINGER"), Some("off"));
    assert_eq!(value("SO_KEEPALIVE"), Some("off"));
    for size in ["SO_RCVBUF", "SO_SNDBUF", "TCP_MAXSEG"] {
        let bytes = value(size).unwrap().strip_suffix(" bytes").unwrap();
        assert!(bytes.parse::<u32>().unwrap() > 0, "{size} {bytes}");
    }
    // Rounded up: less than a millisecond must not become "none".
    #[cfg(target_os = "linux")]
    assert_eq!(value("TCP_USER_TIMEOUT"), Some("1.501s"));
}

#[test]
fn a_user_timeout_beyond_what_the_kernel_takes_is_the_longest_that_it_takes() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let options = DialOptions { user_timeout: Some(Duration::MAX), ..DialOptions::default() };
    let dialed = dial(listener.local_addr().unwrap(), &options).unwrap();
    let (Dialing::Up(stream, _) | Dialing::Pending(stream)) = dialed;
    let longest = Duration::from_millis(i32::MAX.unsigned_abs().into());
    assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(longest));
}

/// What a dial hears of ICMP is in `cli/tests/why_rig.rs`: loopback has no routers.
#[test]
fn a_witnessed_dial_ends_as_any_other() {
    let (listener, addr) = listening();
    let stream = dial_witnessed(addr).unwrap();
    eventually("the dial to end", || finish_dial(&stream)).unwrap();
    assert!(icmp_errors(&stream).is_empty());
    drop(listener);
    let refused = dial_witnessed(addr).unwrap();
    let ended = eventually("the dial to end", || finish_dial(&refused));
    assert_eq!(ended, Err(Signal::Errno(Errno::ConnRefused)));
    assert!(icmp_errors(&refused).is_empty(), "a RST is no ICMP");
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_peer_does_not_take_is_outstanding() {
    let (listener, addr) = listening();
    let (stream, _) = dialed(addr, &DialOptions::default()).unwrap();
    assert_eq!(outstanding(&stream), Some(0));
    let mut taken = 0;
    while let Some(Ok(n)) = write(&stream, &[&[7; 65_536]]) {
        taken += n;
    }
    // Its buffer takes some of it, and no more until somebody reads.
    let left = outstanding(&stream).unwrap() as usize;
    assert!(left > 0 && left < taken, "{left} of {taken}");
    drop(listener);
    assert_eq!(outstanding(std::fs::File::open("/dev/null").unwrap()), None);
}
