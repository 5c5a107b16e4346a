//! Several sockets on one port, over which the kernel spreads the peers (`SO_REUSEPORT`).

use core::net::SocketAddr;
use std::io;
use std::net::UdpSocket;

use socket2::SockRef;

use super::{Options, Share, bind};

/// As many sockets on one address and port as asked for, one at least. Port 0 lets the kernel choose one. What a peer
/// sends always goes to the same of them, until one is closed.
///
/// A port that the kernel chooses is one that nobody else has: asked for a port by a socket that would share it, Linux may
/// answer with one that another such group of the same user has (`udp_lib_lport_inuse`), and the two would take each
/// other's datagrams. So the first socket asks alone, and shares afterwards.
///
/// # Errors
///
/// As [`bind`].
pub fn bind_group(addr: SocketAddr, options: &Options, members: usize) -> io::Result<Vec<UdpSocket>> {
    if members <= 1 && options.share != Share::Port {
        return Ok(vec![bind(addr, options)?]);
    }
    let sharing = Options { share: Share::Port, ..options.clone() };
    let first = if addr.port() == 0 {
        let first = bind(addr, &Options { share: Share::Nobody, ..options.clone() })?;
        SockRef::from(&first).set_reuse_port(true)?;
        first
    } else {
        bind(addr, &sharing)?
    };
    let mut shared = addr;
    shared.set_port(first.local_addr()?.port());
    let mut group = vec![first];
    for _ in 1..members {
        group.push(bind(shared, &sharing)?);
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_one_port_and_shares_what_comes_to_it() {
        for any in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let group = bind_group(any.parse().unwrap(), &Options::default(), 4).unwrap();
            let ports: Vec<u16> = group.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
            assert_eq!((ports.len(), ports.iter().all(|&port| port == ports[0])), (4, true), "{ports:?}");
            let host = if any.starts_with('1') { "127.0.0.1" } else { "::1" };
            let to = SocketAddr::new(host.parse().unwrap(), ports[0]);
            for _ in 0..64 {
                let peer = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
                peer.send_to(b"x", to).unwrap();
            }
            let got = group.iter().map(|socket| {
                let mut got = 0;
                while socket.recv(&mut [0; 8]).is_ok() {
                    got += 1;
                }
                got
            });
            let got: Vec<u32> = got.collect();
            assert_eq!(got.iter().sum::<u32>(), 64);
            // All 64 flows on one of four sockets: once in 2^126 runs.
            assert!(got.iter().filter(|&&n| n > 0).count() > 1, "{got:?}");
        }
    }

    #[test]
    fn a_group_of_one_is_alone_unless_told_to_share() {
        let any = "127.0.0.1:0".parse().unwrap();
        let alone = bind_group(any, &Options::default(), 1).unwrap();
        let taken = alone[0].local_addr().unwrap();
        assert_eq!(bind_group(taken, &Options::default(), 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let sharing = Options { share: Share::Port, ..Options::default() };
        let first = bind_group(any, &sharing, 1).unwrap();
        let shared = first[0].local_addr().unwrap();
        assert_eq!(bind_group(shared, &sharing, 1).unwrap()[0].local_addr().unwrap(), shared);
    }
}
