//! What goes wrong, and when.

use super::Parser;
use crate::scenario::text::Malformed;
use crate::scenario::text::lex::{Piece, Words};
use crate::scenario::text::words::{PICKS, ROUTES, TAMPERS};
use crate::scenario::{Comeback, Fault, Forgery, HostFault, NodeId, Pick, Tamper, Trigger, Way, What};

/// The words for what happens to a way, besides what happens to its packets.
const OF_A_WAY: &[&str] = &["cut", "mtu", "link-down"];

/// The words for what happens to a node: those that are of no way and of no link.
fn of_a_node() -> impl Iterator<Item = &'static str> + Clone {
    let of_a_link =
        |word: &&'static str| TAMPERS.contains(word) || OF_A_WAY.contains(word) || *word == "unplug";
    What::KINDS.iter().copied().filter(move |word| !of_a_link(word))
}

impl Parser {
    /// One fault, or two that are written as one; the `!` has been read.
    pub(super) fn fault(&mut self, words: &mut Words<'_>) -> Result<Vec<Fault>, Malformed> {
        let may_be_inert = words.skip_last("may-be-inert");
        let when = self.trigger(words)?;
        let whats = self.whats(&when, words)?;
        Ok(whats.into_iter().map(|what| Fault { when: when.clone(), what, may_be_inert }).collect())
    }

    fn trigger(&self, words: &mut Words<'_>) -> Result<Trigger, Malformed> {
        let word = words.next("a trigger: a time, `a->b#1`, `a:established` or `a says \"up\"`")?;
        if word.text.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(Trigger::At(word.time()?));
        }
        if let Some((from, rest)) = word.split("->") {
            let Some((to, nth)) = rest.split("#") else {
                return Err(word.wrong(format!("which packet? `{}#1` is the first that way", word.text)));
            };
            let way = self.way((from, to))?;
            return Ok(Trigger::Packet(way, nth.number("a packet's number, from 1")?));
        }
        if let Some((node, state)) = word.split(":") {
            return Ok(Trigger::State(self.node(node)?, state.state()?));
        }
        let node = self.node(word).map_err(|error| match word.text {
            text if text.contains(char::is_alphabetic) => error,
            _ => word.is_not("a trigger: a time, `a->b#1`, `a:established` or `a says \"up\"`"),
        })?;
        if !words.skip("says") {
            let name = word.text;
            return Err(
                word.wrong(format!("when of {name:?}? As in `{name}:established` or `{name} says \"up\"`"))
            );
        }
        Ok(Trigger::Says(node, words.next("words in quotes, as in `says \"down reset\"`")?.text.to_owned()))
    }

    fn whats(&self, when: &Trigger, words: &mut Words<'_>) -> Result<Vec<What>, Malformed> {
        let word = words.next("what goes wrong, as in `client->router drop` or `server kill`")?;
        if let Some(ends) = word.split("<->") {
            let way = self.way(ends)?;
            let back = Way { from: way.to, to: way.from };
            let verb = words.next("`cut`, `mtu` or `unplug`")?;
            return Ok(match verb.text {
                "unplug" => vec![What::Unplug(way, self.until(words)?)],
                "cut" => {
                    let until = self.until(words)?;
                    vec![What::Cut(way, until.clone()), What::Cut(back, until)]
                }
                "mtu" => {
                    let mtu = mtu(words)?;
                    vec![What::Mtu(way, mtu), What::Mtu(back, mtu)]
                }
                "link-down" => {
                    let one = word.text.replace("<->", "->");
                    let message = format!("which host's interface? The first one's: `{one} link-down`");
                    return Err(word.wrong(message));
                }
                other if TAMPERS.contains(&other) => {
                    let message =
                        format!("a packet goes one way: `{} {other}`", word.text.replace("<->", "->"));
                    return Err(word.wrong(message));
                }
                _ => {
                    return Err(verb.is_none_of("a fault of both ways", ["cut", "mtu", "unplug"].into_iter()));
                }
            });
        }
        if let Some(ends) = word.split("->") {
            let way = self.way(ends)?;
            let verb = words.next("a fault, as in `drop`")?;
            return Ok(vec![match verb.text {
                "cut" => What::Cut(way, self.until(words)?),
                "mtu" => What::Mtu(way, mtu(words)?),
                "unplug" => {
                    let both = word.text.replace("->", "<->");
                    return Err(word.wrong(format!("a cable has both ways: `{both} unplug`")));
                }
                "link-down" => {
                    let until = self.until(words)?;
                    let bare = words.skip("bare");
                    let comeback = if bare { Comeback::Bare } else { Comeback::Configured };
                    if bare && until.is_none() {
                        let message = "`bare` says how it is when it is up again: `until` when?";
                        return Err(verb.wrong(message.to_owned()));
                    }
                    What::LinkDown(way, until.map(|until| (until, comeback)))
                }
                name if TAMPERS.contains(&name) => What::Tamper(way, tamper(verb, words)?),
                _ => return Err(verb.is_none_of("a fault of a way", TAMPERS.iter().chain(OF_A_WAY).copied())),
            }]);
        }
        if TAMPERS.contains(&word.text) && !word.quoted {
            let Trigger::Packet(way, _) = when else {
                let message = format!("which way? As in `client->router {}`", word.text);
                return Err(word.wrong(message));
            };
            return Ok(vec![What::Tamper(*way, tamper(word, words)?)]);
        }
        let node = self.node(word)?;
        Ok(vec![self.of_node(node, words)?])
    }

    fn of_node(&self, node: NodeId, words: &mut Words<'_>) -> Result<What, Malformed> {
        let verb = words.next("what happens to it, as in `kill`")?;
        let bytes = |words: &mut Words<'_>| words.next("a number of bytes")?.number("a number of bytes");
        let fault = match verb.text {
            "rst" => return self.segment(node, words, Forgery::Rst),
            "fin" => return self.segment(node, words, Forgery::Fin),
            "syn" => return self.segment(node, words, Forgery::Syn),
            "icmp" => return self.icmp(node, words),
            "route" => {
                let to = if words.skip("to") { Some(self.node(words.next("a node")?)?) } else { None };
                let kind = words.next("`unreachable`, `prohibit`, `blackhole` or `missing`")?;
                let kind = kind.choose("a kind of route", ROUTES)?;
                return Ok(What::Route { at: node, to, kind, until: self.until(words)? });
            }
            "kill" => HostFault::Kill,
            "pause" => HostFault::Pause(words.next("how long, as in `pause 2s`")?.duration()?),
            "power-loss" => HostFault::PowerLoss,
            "reboot" => {
                HostFault::Reboot(words.next("after how long it is back, as in `reboot 3s`")?.duration()?)
            }
            "forget" => HostFault::Forget,
            "skew" => HostFault::Skew(words.next("by how much, as in `skew +500ms`")?.signed()?),
            "short-reads" => HostFault::ShortReads(bytes(words)?),
            "short-writes" => HostFault::ShortWrites(bytes(words)?),
            "spurious-wake" => HostFault::SpuriousWake,
            "rcvbuf" => HostFault::ReceiveBuffer(bytes(words)?),
            "sndbuf" => HostFault::SendBuffer(bytes(words)?),
            "no-ports" => HostFault::NoPorts(self.until(words)?),
            "no-descriptors" => HostFault::NoDescriptors(self.until(words)?),
            "accept-queue" => HostFault::AcceptQueue(
                words.next("a number of connections")?.number("a number of connections")?,
            ),
            _ => return Err(verb.is_none_of("a fault of a node", of_a_node())),
        };
        Ok(What::Host(node, fault))
    }

    /// A segment that nobody sent.
    fn segment(
        &self,
        from: NodeId,
        words: &mut Words<'_>,
        forge: fn(Pick) -> Forgery,
    ) -> Result<What, Malformed> {
        let to = self.to(words)?;
        let mut pick = Pick::Exact;
        words.options(&["seq="], |_, value| {
            pick = value.choose("a place in the window", PICKS)?;
            Ok(())
        })?;
        Ok(What::Forge { from, to, packet: forge(pick) })
    }

    fn icmp(&self, from: NodeId, words: &mut Words<'_>) -> Result<What, Malformed> {
        let word = words.next("its type and code, as in `icmp 3/1`")?;
        let numbers = word.split("/").ok_or_else(|| word.is_not("a type and a code, as in `3/1`"))?;
        let kind = numbers.0.number("an ICMP type: a number up to 255")?;
        let code = numbers.1.number("an ICMP code: a number up to 255")?;
        let to = self.to(words)?;
        let (mut mtu, mut quote, mut quoted) = (None, Pick::Exact, super::super::QUOTED);
        words.options(&["quote=", "quoted=", "mtu="], |key, value| {
            match key {
                "quote" => quote = value.choose("a place in the window", PICKS)?,
                "quoted" => quoted = value.number("a number of bytes, at most 65535")?,
                _ => mtu = Some(value.number("an MTU: a number of bytes, at most 65535")?),
            }
            Ok(())
        })?;
        Ok(What::Forge { from, to, packet: Forgery::Icmp { kind, code, mtu, quote, quoted } })
    }

    fn to(&self, words: &mut Words<'_>) -> Result<NodeId, Malformed> {
        words.must("to")?;
        self.node(words.next("a host")?)
    }

    fn until(&self, words: &mut Words<'_>) -> Result<Option<Trigger>, Malformed> {
        if words.skip("until") { self.trigger(words).map(Some) } else { Ok(None) }
    }
}

fn mtu(words: &mut Words<'_>) -> Result<u16, Malformed> {
    words.next("an MTU, as in `mtu 1300`")?.number("an MTU: a number of bytes, at most 65535")
}

/// What happens to one packet; its word has been read.
fn tamper(verb: Piece<'_>, words: &mut Words<'_>) -> Result<Tamper, Malformed> {
    Ok(match verb.text {
        "drop" => Tamper::Drop,
        "delay" => Tamper::Delay(words.next("by how much, as in `delay 50ms`")?.duration()?),
        "duplicate" => Tamper::Duplicate(
            words.next("how much later the second one comes, as in `duplicate 5ms`")?.duration()?,
        ),
        "corrupt" => Tamper::Corrupt,
        "alter" => {
            let word = words.next("which bit, as in `alter bit=13`")?;
            let (_, bit) = word
                .split("=")
                .filter(|(key, _)| key.is("bit"))
                .ok_or_else(|| word.is_not("a bit of the payload, as in `alter bit=13`"))?;
            Tamper::Alter(bit.number("a bit's number, from 0")?)
        }
        _ => Tamper::Truncate(words.next("a number of bytes")?.number("a number of bytes, at most 65535")?),
    })
}
