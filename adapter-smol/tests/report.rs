//! A report of the reactor is believed, although another thread had begun to wait in it before it was asked for.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use resound_async::{Direction, Socket as _};
use resound_smol::Socket;

struct Tell(Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

#[test]
fn the_first_wake_up_is_the_last() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let socket = Socket::register(OwnedFd::from(stream), &mut Context::from_waker(Waker::noop())).unwrap();
    // Nobody blocks on the reactor but its own thread; it has begun to wait by then.
    thread::sleep(Duration::from_millis(100));

    let (tell, told) = channel();
    let waker = Waker::from(Arc::new(Tell(tell)));
    let cx = &mut Context::from_waker(&waker);
    assert!(socket.poll_ready(Direction::Read, cx).is_pending());
    peer.write_all(b"hello").unwrap();
    told.recv_timeout(Duration::from_secs(10)).expect("woken");
    assert!(socket.poll_ready(Direction::Read, cx).is_ready());
}
