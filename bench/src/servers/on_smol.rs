//! On smol: its global executor, with one thread.

use std::io;

use smol::net::TcpListener;

use super::{ANY, let_in_everybody, ready};

pub(super) fn by_hand() -> io::Result<()> {
    smol::block_on(async {
        let listener = TcpListener::bind(ANY).await?;
        ready(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            smol::spawn(async move {
                stream.set_nodelay(true)?;
                smol::io::copy(stream.clone(), stream).await
            })
            .detach();
        }
    })
}

pub(super) fn resound() -> io::Result<()> {
    smol::block_on(async {
        let mut config = resound_smol::ServerConfig::default();
        let_in_everybody(&mut config.admission);
        let spawn = |connection| smol::spawn(connection).detach();
        let server = resound_smol::serve_echo(ANY, config, Default::default(), spawn, |_| {})?;
        ready(server.handle().local_addr())?;
        server.await;
        Ok(())
    })
}
