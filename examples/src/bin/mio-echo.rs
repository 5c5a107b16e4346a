//! An echo server and an echo client in one event loop, on one thread. The client sends a few messages, each when the
//! one before has come back, and closes; then the server drains, and the loop has nothing left to do.
//!
//! `cargo run -p resound-examples --bin mio-echo`

use core::cell::RefCell;
use core::error::Error;
use std::rc::Rc;

use mio::Token;
use resound_core::stream::admission;
use resound_core::stream::client::{Client, Command, Config, Event};
use resound_core::stream::{Machine, server};
use resound_examples::mio_loop::{Driven, Loop};
use resound_examples::mio_port::Sockets;
use resound_examples::mio_server::Server;
use resound_sockets::entropy;
use resound_sockets::tcp::{DialOptions, ListenOptions};

const MESSAGES: [&str; 3] = ["hello", "is anybody there?", "goodbye"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut cx = Loop::new()?;

    let (here, policy) = ("127.0.0.1:0".parse()?, server::Config::default().check()?);
    let limits = admission::Config::default();
    let server = Server::start(&mut cx, here, &ListenOptions::default(), limits, policy, |event| {
        println!("server: {event:?}");
    })?;

    let key = cx.new_key();
    let client = Client::new(Config::default(), entropy::seed(), [server.local_addr()])?;
    let client = Rc::new(RefCell::new(client));
    let mut messages = MESSAGES.into_iter().map(|text| Command::Send(text.into())).chain([Command::Close]);
    let event = {
        let client = Rc::clone(&client);
        move |event: Event, cx: &mut Loop| {
            println!("client: {event:?}");
            match event {
                Event::Up { .. } | Event::Echoed { .. } => {
                    let command = messages.next().unwrap_or(Command::Close);
                    let asked = client.borrow_mut().command(cx.clock().now(), command);
                    asked.expect("one message at a time is never too much");
                }
                Event::Closed => server.end(cx, server::Command::Drain),
                _ => {}
            }
        }
    };
    let sockets = Sockets::new(cx.registry(), Token(key), DialOptions::default(), Rc::default())?;
    cx.add(key, Box::new(Driven::new(client, sockets, event)));

    Ok(cx.run()?)
}
