//! On std: one thread for each connection.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::{ANY, BUFFER, config, ready};

pub(super) fn by_hand() -> io::Result<()> {
    let listener = TcpListener::bind(ANY)?;
    ready(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || echo(stream));
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; BUFFER];
    loop {
        let n = stream.read(&mut buf)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n])?;
    }
}

pub(super) fn resound() -> io::Result<()> {
    let server = resound_std::serve_echo(ANY, config(), Default::default(), |_| {})?;
    ready(server.local_addr())?;
    server.join();
    Ok(())
}
