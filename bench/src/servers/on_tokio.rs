//! On tokio, its current-thread runtime: the one that suits a server with one core.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::{ANY, BUFFER, let_in_everybody, ready};

pub(super) fn by_hand() -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(ANY).await?;
        ready(listener.local_addr()?)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    })
}

/// As [`by_hand`] by somebody who knows that `copy` moves 8 KiB at a time.
pub(super) fn by_hand_64k() -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(ANY).await?;
        ready(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; BUFFER];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

pub(super) fn resound() -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut config = resound_tokio::ServerConfig::default();
        let_in_everybody(&mut config.admission);
        let server = resound_tokio::serve_echo(ANY, config, Default::default(), |_| {})?;
        ready(server.handle().local_addr())?;
        // As by hand: connections are tasks, and the one that accepts is the main one.
        server.await;
        Ok(())
    })
}
