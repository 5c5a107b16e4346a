//! What hosts are asked.

use std::time::Duration;

use super::Parser;
use crate::scenario::text::Malformed;
use crate::scenario::text::lex::{Piece, Words, is_name};
use crate::scenario::text::words::{ADDRESSES, GROUP};
use crate::scenario::{
    Address, Call, Command, End, Knobs, Line, Open, Payload, Peer, SocketKnobs, Transport,
};

const COMMANDS: &[&str] = &["serve", "connect", "send", "close", "abort", "call", "do"];
const OPENINGS: &[&str] = &["tcp", "udp", "accept"];
const CALLS: &[&str] = &[
    "connect",
    "disconnect",
    "send",
    "sendto",
    "recv",
    "recv-all",
    "errqueue",
    "errqueue-all",
    "join",
    "leave",
    "so_error",
    "poll",
    "info",
    "shutdown",
    "shutdown-read",
    "close",
    "reset",
];

impl Parser {
    /// A line of the script; its time has been read.
    pub(super) fn line(&mut self, at: Duration, words: &mut Words<'_>) -> Result<Line, Malformed> {
        let host = self.node(words.next("a host and what it is asked, as in `client close`")?)?;
        Ok(Line { at, host, command: self.command(words)? })
    }

    fn command(&self, words: &mut Words<'_>) -> Result<Command, Malformed> {
        let verb = words.next("a command, as in `connect server:7`")?;
        Ok(match verb.text {
            "serve" => Command::Serve(transport(words), port(words.next("a port, as in `serve 7`")?)?),
            "connect" => {
                let transport = transport(words);
                Command::Connect(transport, self.peer(words)?, knobs(words)?)
            }
            "send" => Command::Send(payload(words)?),
            "close" => Command::Close,
            "abort" => Command::Abort,
            "call" => Command::Call(self.call(words)?),
            "do" => {
                let mut said = Vec::new();
                while words.peek().is_some() {
                    said.push(words.next("a word")?.text.to_owned());
                }
                Command::Do(said)
            }
            _ => return Err(verb.is_none_of("a command", COMMANDS.iter().copied())),
        })
    }

    fn call(&self, words: &mut Words<'_>) -> Result<Call, Malformed> {
        let socket = socket(words)?;
        if words.skip("=") {
            return self.opening(socket, words);
        }
        let verb = words.next("a call, as in `recv 100`, or `=` and a new socket")?;
        Ok(match verb.text {
            "connect" => Call::Connect(socket, Some(self.end(words)?)),
            "disconnect" => Call::Connect(socket, None),
            "send" => Call::Send(socket, payload(words)?),
            "sendto" => {
                let to = self.end(words)?;
                Call::SendTo(socket, to, payload(words)?)
            }
            "recv" => Call::Recv(socket, words.next("a number of bytes")?.number("a number of bytes")?),
            "errqueue" => Call::RecvError(socket),
            "recv-all" => Call::RecvAll(sockets(socket, words)?),
            "errqueue-all" => Call::RecvErrorAll(sockets(socket, words)?),
            "join" => Call::Join(socket, group(words)?),
            "leave" => Call::Leave(socket, group(words)?),
            "so_error" => Call::SoError(socket),
            "poll" => Call::Poll(socket),
            "info" => Call::Info(socket),
            "shutdown" => Call::Shutdown(socket),
            "shutdown-read" => Call::ShutdownRead(socket),
            "close" => Call::Close(socket),
            "reset" => Call::Reset(socket),
            _ => return Err(verb.is_none_of("a call", CALLS.iter().copied())),
        })
    }

    /// What stands after the `=`.
    fn opening(&self, name: String, words: &mut Words<'_>) -> Result<Call, Malformed> {
        let kind = words.next("`tcp`, `udp` or `accept`")?;
        let open = match kind.text {
            "accept" => return Ok(Call::Accept(name, socket(words)?)),
            "udp" => Open::Udp(self.local(words)?),
            "tcp" if words.skip("connect") => {
                let to = self.end(words)?;
                let from = if words.skip("from") { Some(self.local(words)?) } else { None };
                Open::Connect { to, from }
            }
            "tcp" => {
                words.must("listen")?;
                Open::Listen(self.local(words)?, 128)
            }
            _ => return Err(kind.is_none_of("a kind of socket", OPENINGS.iter().copied())),
        };
        socket_knobs(name, open, words)
    }

    fn peer(&self, words: &mut Words<'_>) -> Result<Peer, Malformed> {
        let word = words.next("a host and its port, as in `server:7`")?;
        let Some((host, number)) = word.split(":") else {
            return Err(word.is_not("a host and its port, as in `server:7`"));
        };
        Ok(Peer { host: self.node(host)?, port: port(number)? })
    }

    /// An address and a port.
    fn end(&self, words: &mut Words<'_>) -> Result<End, Malformed> {
        self.end_of(words.next("an address and a port, as in `server:7` or `loopback:7`")?)
    }

    fn end_of(&self, word: Piece<'_>) -> Result<End, Malformed> {
        let Some((address, number)) = word.split(":") else {
            return Err(word.is_not("an address and a port, as in `server:7` or `loopback:7`"));
        };
        let named = ADDRESSES.iter().find(|(name, _)| address.is(name)).map(|(_, named)| *named);
        let at = match (named, address.text.strip_prefix(GROUP)) {
            (Some(named), _) => named,
            (None, Some(_)) => Address::Group(group_of(address)?),
            (None, None) => Address::Of(self.node(address)?),
        };
        Ok(End { at, port: port(number)? })
    }

    /// Where a socket is to be bound: a port, of any address or of the one before it.
    fn local(&self, words: &mut Words<'_>) -> Result<End, Malformed> {
        let word = words.next("a port, 0 for any, or an address and a port, as in `loopback:7`")?;
        if word.split(":").is_some() { self.end_of(word) } else { Ok(End::any(port(word)?)) }
    }
}

fn transport(words: &mut Words<'_>) -> Transport {
    if words.skip("udp") {
        return Transport::Udp;
    }
    words.skip("tcp");
    Transport::Tcp
}

fn port(number: Piece<'_>) -> Result<u16, Malformed> {
    number.number("a port: a number up to 65535")
}

fn socket(words: &mut Words<'_>) -> Result<String, Malformed> {
    let name = words.next("the name of a socket")?;
    if name.split("=").is_some() {
        return Err(name.wrong("put blanks around `=`, as in `call a = udp 0`"));
    }
    if name.quoted || !is_name(name.text) {
        return Err(name.is_not("a socket's name: a letter, then letters, digits, `-` and `_`"));
    }
    Ok(name.text.to_owned())
}

/// This socket, and those that follow.
fn sockets(first: String, words: &mut Words<'_>) -> Result<Vec<String>, Malformed> {
    let mut all = vec![first];
    while words.peek().is_some() {
        all.push(socket(words)?);
    }
    Ok(all)
}

fn group(words: &mut Words<'_>) -> Result<u8, Malformed> {
    group_of(words.next("a group, as in `group-1`")?)
}

fn group_of(name: Piece<'_>) -> Result<u8, Malformed> {
    let number = name.text.strip_prefix(GROUP).filter(|_| !name.quoted);
    // Only what is printed: no sign, no leading zero.
    let number = number.and_then(|text| text.parse::<u8>().ok().filter(|n| n.to_string() == text));
    number.ok_or_else(|| name.is_not("a group: `group-` and a number up to 255"))
}

fn payload(words: &mut Words<'_>) -> Result<Payload, Malformed> {
    let word = words.next("what to send: `\"text\"` or `100 bytes`")?;
    if word.quoted {
        return Ok(Payload::Text(word.text.to_owned()));
    }
    let Ok(bytes) = word.text.parse() else {
        return Err(word.is_not("something to send: put text in quotes, or say how much, as in `100 bytes`"));
    };
    words.must("bytes")?;
    Ok(Payload::Bytes(bytes))
}

fn knobs(words: &mut Words<'_>) -> Result<Knobs, Malformed> {
    let mut knobs = Knobs::default();
    words.options(&["idle=", "probe=", "misses=", "round=", "rounds=", "resend"], |key, value| {
        match key {
            "idle" => knobs.idle = Some(value.duration()?),
            "probe" => knobs.probe = Some(value.duration()?),
            "misses" => knobs.misses = Some(value.number("a number of probes, at most 255")?),
            "round" => knobs.round = Some(value.duration()?),
            "rounds" => knobs.rounds = Some(value.number("a number of rounds")?),
            _ => knobs.resend = true,
        }
        Ok(())
    })?;
    Ok(knobs)
}

fn socket_knobs(name: String, mut open: Open, words: &mut Words<'_>) -> Result<Call, Malformed> {
    let mut knobs = SocketKnobs::default();
    let names = [
        "recverr",
        "uto=",
        "keepalive=",
        "syncnt=",
        "rcvbuf=",
        "sndbuf=",
        "reuseaddr",
        "reuseport",
        "broadcast",
        "backlog=",
    ];
    words.options(&names, |key, value| {
        match key {
            "recverr" => knobs.recverr = true,
            "uto" => knobs.user_timeout = Some(value.duration()?),
            "keepalive" => knobs.keepalive = Some(keepalive(value)?),
            "syncnt" => knobs.syn_retries = Some(value.number("a number of retries, at most 255")?),
            "rcvbuf" => knobs.receive_buffer = Some(value.number("a number of bytes")?),
            "sndbuf" => knobs.send_buffer = Some(value.number("a number of bytes")?),
            "reuseaddr" => knobs.reuse_address = true,
            "reuseport" => knobs.reuse_port = true,
            "broadcast" => knobs.broadcast = true,
            _ => match &mut open {
                Open::Listen(_, backlog) => *backlog = value.number("a number of connections")?,
                Open::Connect { .. } | Open::Udp(_) => {
                    return Err(value.wrong("only a listener has a backlog"));
                }
            },
        }
        Ok(())
    })?;
    Ok(Call::Open(name, open, knobs))
}

/// Idle time, interval and count.
fn keepalive(value: Piece<'_>) -> Result<(Duration, Duration, u8), Malformed> {
    let wrong = || value.is_not("idle time, interval and count, as in `keepalive=1s/1s/3`");
    let (idle, rest) = value.split("/").ok_or_else(wrong)?;
    let (interval, count) = rest.split("/").ok_or_else(wrong)?;
    Ok((idle.duration()?, interval.duration()?, count.number("a number of probes, at most 255")?))
}
