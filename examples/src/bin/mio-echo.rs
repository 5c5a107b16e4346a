//! An echo server and an echo client, each in an event loop on a thread of its own. The client sends a few messages, each
//! when the one before has come back, and closes; then the server drains, and its loop has nothing left to do.
//!
//! `cargo run -p resound-examples --bin mio-echo`

use core::error::Error;
use core::net::SocketAddr;
use std::io;
use std::thread;

use resound_core::stream::Machine as _;
use resound_core::stream::admission::{self, Admission};
use resound_core::stream::client::{Client, Command, Config, Event};
use resound_core::stream::server::{self, Connection};
use resound_examples::mio_loop::{Loop, Told};
use resound_sockets::entropy;
use resound_sockets::tcp::{self, DialOptions, ListenOptions};

const MESSAGES: [&str; 3] = ["hello", "is anybody there?", "goodbye"];

fn main() -> Result<(), Box<dyn Error>> {
    let policy = server::Config::default().check()?;
    let listener = tcp::listen("127.0.0.1:0".parse()?, &ListenOptions::default())?;
    let addr = listener.local_addr()?;
    let mut server = Loop::new(DialOptions::default())?;
    let admission = Admission::new(admission::Config::default(), entropy::key(), server.clock().now())?;
    server.serve(listener, admission, move |_, now| Connection::new(policy, now))?;
    let end = server.waker()?;
    let serving = thread::spawn(|| serve(server));

    talk(addr)?;
    end.wake()?;
    serving.join().expect("the server has panicked")?;
    Ok(())
}

/// Serves until it is woken, and until the last connection has ended.
fn serve(mut cx: Loop<Connection>) -> io::Result<()> {
    while let Some(told) = cx.next_event()? {
        match told {
            Told::Server(event) => println!("server: {event:?}"),
            Told::Woken => cx.leave(server::Command::Drain),
            // Only what was added by hand is told of.
            Told::Machine(..) => {}
        }
    }
    Ok(())
}

fn talk(to: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut cx = Loop::new(DialOptions::default())?;
    cx.add(Client::new(Config::default(), entropy::seed(), [to])?);
    let mut commands = MESSAGES.into_iter().map(|text| Command::Send(text.into())).chain([Command::Close]);
    while let Some(told) = cx.next_event()? {
        let Told::Machine(key, event) = told else { continue };
        println!("client: {event:?}");
        if let (Event::Up { .. } | Event::Echoed { .. }, now) = (event, cx.clock().now()) {
            let (client, command) = (cx.machine(key), commands.next());
            if let (Some(client), Some(command)) = (client, command) {
                client.command(now, command)?;
            }
        }
    }
    Ok(())
}
