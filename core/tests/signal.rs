//! The tables of `signal`, against a second list that was written from the measurements and the kernel's source, not
//! from the code; and the words.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use resound_core::signal::icmp::{Hardness, TABLE};
use resound_core::signal::{
    Cause, Errno, IcmpError, Op, Origin, Reason, Retry, Signal, UnknownWord, Version,
};

/// `version type/code` (or `type/first-last`), errno, hardness, reason. What is not listed: see `expected`.
const ICMP: &str = "
    4 3/0       ENETUNREACH   soft  net-unreach
    4 3/1       EHOSTUNREACH  soft  host-unreach
    4 3/2       ENOPROTOOPT   hard  proto-unreach
    4 3/3       ECONNREFUSED  hard  port-unreach
    4 3/4       EMSGSIZE      soft  too-big
    4 3/5       EOPNOTSUPP    soft  unreachable
    4 3/6       ENETUNREACH   hard  net-unreach
    4 3/7       EHOSTDOWN     hard  host-unreach
    4 3/8       ENONET        hard  unreachable
    4 3/9       ENETUNREACH   hard  net-prohibited
    4 3/10      EHOSTUNREACH  hard  host-prohibited
    4 3/11      ENETUNREACH   soft  net-unreach
    4 3/12      EHOSTUNREACH  soft  host-unreach
    4 3/13      EHOSTUNREACH  hard  admin-prohibited
    4 3/14      EHOSTUNREACH  hard  admin-prohibited
    4 3/15      EHOSTUNREACH  hard  admin-prohibited
    4 3/16-255  -             soft  unreachable
    4 4/0-255   -             soft  no-buffers
    4 5/0-255   -             soft  unreachable
    4 11/0      EHOSTUNREACH  soft  time-exceeded
    4 11/1      -             soft  time-exceeded
    4 11/2-255  EHOSTUNREACH  soft  time-exceeded
    4 12/0-255  EPROTO        hard  param-problem
    6 1/0       ENETUNREACH   soft  no-route
    6 1/1       EACCES        hard  admin-prohibited
    6 1/2       EHOSTUNREACH  soft  beyond-scope
    6 1/3       EHOSTUNREACH  soft  host-unreach
    6 1/4       ECONNREFUSED  hard  port-unreach
    6 1/5       EACCES        hard  admin-prohibited
    6 1/6       EACCES        hard  reject-route
    6 1/7       EPROTO        hard  param-problem
    6 1/8       EPROTO        hard  param-problem
    6 1/9-255   EPROTO        hard  unreachable
    6 2/0-255   EMSGSIZE      soft  too-big
    6 3/0-255   EHOSTUNREACH  soft  time-exceeded
    6 4/0-255   EPROTO        hard  param-problem
";

/// Errno; reason and origin while connecting; reason and origin when reading or writing.
const ERRNO: &str = "
    EACCES         perm-denied     unknown   perm-denied     unknown
    EADDRINUSE     no-ports        local     no-ports        local
    EADDRNOTAVAIL  no-ports        local     no-ports        local
    EAFNOSUPPORT   bad-address     local     bad-address     local
    EAGAIN         no-ports        local     no-ports        local
    EALREADY       no-response     timer     aborted         local
    EBADF          aborted         local     aborted         local
    ECONNABORTED   aborted         local     aborted         local
    ECONNREFUSED   conn-refused    peer      port-unreach    peer
    ECONNRESET     reset           peer      reset           peer
    EDESTADDRREQ   bad-address     local     bad-address     local
    EHOSTDOWN      host-unreach    unknown   host-unreach    unknown
    EHOSTUNREACH   unreachable     unknown   unreachable     unknown
    EINPROGRESS    no-response     timer     aborted         local
    EINTR          aborted         local     aborted         local
    EINVAL         unreachable     local     unreachable     local
    EIO            unreachable     unknown   aborted         unknown
    EISCONN        aborted         local     aborted         local
    EMFILE         too-many-files  local     too-many-files  local
    EMSGSIZE       too-big         unknown   too-big         unknown
    ENETDOWN       net-down        local     net-down        local
    ENETRESET      unreachable     unknown   unreachable     unknown
    ENETUNREACH    unreachable     unknown   unreachable     unknown
    ENFILE         too-many-files  local     too-many-files  local
    ENOBUFS        no-buffers      local     no-buffers      local
    ENODEV         net-down        local     net-down        local
    ENOMEM         no-buffers      local     no-buffers      local
    ENONET         unreachable     unknown   unreachable     unknown
    ENOPROTOOPT    proto-unreach   peer      proto-unreach   peer
    ENOTCONN       unreachable     unknown   broken-pipe     unknown
    ENOTSOCK       aborted         local     aborted         local
    EOPNOTSUPP     unreachable     unknown   unreachable     unknown
    EPERM          perm-denied     local     perm-denied     local
    EPIPE          broken-pipe     unknown   broken-pipe     unknown
    EPROTO         param-problem   unknown   param-problem   unknown
    ESHUTDOWN      broken-pipe     unknown   broken-pipe     unknown
    ETIMEDOUT      no-response     timer     timed-out       timer
";

const OPS: [Op; 3] = [Op::Connect, Op::Read, Op::Write];

fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|words| !words.is_empty())
}

fn icmp(version: Version, kind: u8, code: u8) -> IcmpError {
    IcmpError { version, kind, code, offender: None, destination: None, mtu: None }
}

/// The list above, spread out: what is expected of every code of one type.
fn expected(version: Version, kind: u8) -> Vec<(Reason, Option<Errno>, Hardness)> {
    // icmpv6_rcv passes errors of an unknown type on, and icmpv6_err_convert begins with EPROTO.
    let unlisted = (version == Version::V6 && kind < 128).then_some(Errno::Proto);
    let mut codes = vec![(Reason::Unreachable, unlisted, Hardness::Soft); 256];
    for words in lines(ICMP) {
        let listed_version = if words[0] == "4" { Version::V4 } else { Version::V6 };
        let (listed_kind, range) = words[1].split_once('/').unwrap();
        if listed_version != version || listed_kind.parse() != Ok(kind) {
            continue;
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let errno = (words[2] != "-").then(|| Errno::from_name(words[2]).unwrap());
        let hardness = if words[3] == "hard" { Hardness::Hard } else { Hardness::Soft };
        codes[first.parse().unwrap()..=last.parse().unwrap()].fill((
            words[4].parse().unwrap(),
            errno,
            hardness,
        ));
    }
    codes
}

#[test]
fn every_type_and_code_means_what_the_kernel_and_the_rfcs_say() {
    for version in [Version::V4, Version::V6] {
        for kind in 0..=255 {
            for (code, expected) in (0..=255).zip(expected(version, kind)) {
                let message = icmp(version, kind, code);
                let meaning = message.meaning();
                let got = (meaning.reason, meaning.errno, meaning.hardness);
                assert_eq!(got, expected, "{version:?} {kind}/{code}");
                for op in OPS {
                    let cause = Signal::Icmp(message).cause(op);
                    assert_eq!((cause.reason, cause.errno), (meaning.reason, None), "{message:?}");
                    assert_eq!(cause.icmp, Some(message));
                }
            }
        }
    }
}

#[test]
fn no_two_rows_overlap() {
    for (i, a) in TABLE.iter().enumerate() {
        assert!(a.codes.start() <= a.codes.end(), "{a:?}");
        for b in &TABLE[..i] {
            let same_type = (a.version, a.kind) == (b.version, b.kind);
            let apart = a.codes.end() < b.codes.start() || b.codes.end() < a.codes.start();
            assert!(!same_type || apart, "{a:?} and {b:?}");
        }
    }
}

#[test]
fn every_errno_means_what_the_list_says() {
    assert_eq!(lines(ERRNO).count(), Errno::ALL.len());
    for words in lines(ERRNO) {
        let errno = Errno::from_name(words[0]).unwrap();
        for op in OPS {
            let cell = if op == Op::Connect { &words[1..3] } else { &words[3..5] };
            let (reason, origin) = (cell[0].parse().unwrap(), cell[1].parse().unwrap());
            let expected = Cause { reason, origin, errno: Some(errno), icmp: None };
            assert_eq!(Signal::Errno(errno).cause(op), expected, "{errno} on {op:?}");
        }
    }
}

#[test]
fn an_unnamed_errno_is_kept() {
    let errno = Errno::Other(-7);
    let [connect, read, write] = OPS.map(|op| Signal::Errno(errno).cause(op));
    assert_eq!((connect.reason, connect.origin), (Reason::Unreachable, Origin::Unknown));
    assert_eq!((read.reason, read.origin), (Reason::Aborted, Origin::Unknown));
    assert_eq!(read, write);
    assert_eq!(connect.errno, Some(errno));
    assert_eq!(read.to_string(), "aborted (unknown, errno -7)");
}

/// Where the kernel folds several messages into one number, the number's reason must be true of all of them: the same,
/// or one that does not say who or what. Codes that nobody has assigned say nothing that it could contradict.
#[test]
fn an_errno_never_says_more_than_the_icmp_behind_it() {
    let vague = [Reason::Unreachable, Reason::PermDenied];
    let mut compared = 0;
    for row in TABLE.iter().filter(|row| row.meaning.reason != Reason::Unreachable) {
        let Some(errno) = row.meaning.errno else { continue };
        let alone = Signal::Errno(errno).cause(Op::Read);
        assert!(alone.reason == row.meaning.reason || vague.contains(&alone.reason), "{row:?}: {alone}");
        let told = Signal::Icmp(icmp(row.version, row.kind, *row.codes.start())).cause(Op::Read);
        assert!(alone.origin == told.origin || alone.origin == Origin::Unknown, "{row:?}: {alone}");
        compared += 1;
    }
    assert!(compared > 20);
}

#[test]
fn a_self_connect_is_said_by_this_host_and_can_be_tried_again() {
    for op in OPS {
        let cause = Signal::SelfConnect.cause(op);
        assert_eq!(cause, Cause::local(Reason::SelfConnect));
        assert_eq!(cause.retry(), Retry::Again);
    }
}

#[test]
fn the_sender_of_an_icmp_is_the_peer_if_the_evidence_says_so() {
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
    let router = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    let to = Some(SocketAddr::new(peer, 7));
    let to_mapped = Some(SocketAddr::new(mapped, 7));
    let port = icmp(Version::V4, 3, 3);
    let host = icmp(Version::V4, 3, 1);

    let cases = [
        // The code decides where there is nothing else.
        (port, None, None, Origin::Peer),
        (port, None, to, Origin::Peer),
        (port, Some(router), None, Origin::Peer),
        (icmp(Version::V4, 3, 2), None, None, Origin::Peer),
        (icmp(Version::V6, 1, 4), None, None, Origin::Peer),
        (host, None, to, Origin::Router),
        (host, Some(peer), None, Origin::Router),
        (icmp(Version::V6, 4, 1), None, None, Origin::Router),
        // The addresses decide where both are known.
        (port, Some(peer), to, Origin::Peer),
        (port, Some(router), to, Origin::Router),
        (host, Some(peer), to, Origin::Peer),
        (host, Some(router), to, Origin::Router),
        // In whatever form.
        (host, Some(mapped), to, Origin::Peer),
        (host, Some(peer), to_mapped, Origin::Peer),
    ];
    for (message, offender, destination, origin) in cases {
        let message = IcmpError { offender, destination, ..message };
        assert_eq!(Signal::Icmp(message).cause(Op::Read).origin, origin, "{message:?}");
    }
}

#[test]
fn only_what_no_waiting_heals_is_final() {
    use Reason as R;
    for &reason in Reason::ALL {
        for &origin in Origin::ALL {
            let never = matches!(reason, R::BadAddress | R::Mismatch | R::Protocol)
                || (reason, origin) == (R::PermDenied, Origin::Local);
            let cause = Cause { reason, origin, errno: None, icmp: None };
            assert_eq!(cause.retry() == Retry::Never, never, "{cause}");
        }
    }
    let never = |errno: &&Errno| Signal::Errno(**errno).cause(Op::Connect).retry() == Retry::Never;
    let found: Vec<_> = Errno::ALL.iter().filter(never).collect();
    assert_eq!(found, [&Errno::AfNoSupport, &Errno::DestAddrReq, &Errno::Perm]);
}

#[test]
fn causes_without_evidence_say_who() {
    assert_eq!(Cause::timer(Reason::NoResponse).to_string(), "no-response (timer)");
    assert_eq!(Cause::peer(Reason::Closed).to_string(), "closed (peer)");
    assert_eq!(Cause::local(Reason::NameResolution).to_string(), "name-resolution (local)");
}

#[test]
fn a_cause_reads_as_a_line() {
    let refused = Signal::Errno(Errno::ConnRefused).cause(Op::Connect);
    assert_eq!(refused.to_string(), "conn-refused (peer, ECONNREFUSED)");

    let router = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let host = IcmpError { offender: Some(router), ..icmp(Version::V4, 3, 1) };
    let mut cause = Signal::Icmp(host).cause(Op::Read);
    assert_eq!(cause.to_string(), "host-unreach (router 192.0.2.1, ICMP 3/1)");
    cause.errno = Some(Errno::HostUnreach);
    assert_eq!(cause.to_string(), "host-unreach (router 192.0.2.1, EHOSTUNREACH, ICMP 3/1)");

    let port = icmp(Version::V6, 1, 4);
    assert_eq!(Signal::Icmp(port).cause(Op::Read).to_string(), "port-unreach (peer, ICMPv6 1/4)");
    let port = IcmpError { offender: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)), ..port };
    assert_eq!(Signal::Icmp(port).cause(Op::Read).to_string(), "port-unreach (peer ::1, ICMPv6 1/4)");
}

#[test]
fn every_name_reads_back() {
    for &reason in Reason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(reason));
    }
    for &origin in Origin::ALL {
        assert_eq!(origin.to_string().parse(), Ok(origin));
    }
    for &errno in Errno::ALL {
        assert_eq!(errno.name().and_then(Errno::from_name), Some(errno));
        assert_eq!(errno.to_string(), errno.name().unwrap());
    }
    assert_eq!(Errno::from_name("errno 5"), None);
    assert_eq!(Errno::Other(5).name(), None);
}

#[test]
fn the_words_are_those_of_the_documentation() {
    let words = "conn-refused no-response unreachable host-unreach net-unreach proto-unreach port-unreach \
        net-prohibited host-prohibited admin-prohibited time-exceeded param-problem no-route beyond-scope \
        reject-route too-big reset closed closed-early timed-out broken-pipe aborted path-dead peer-stalled \
        write-blocked no-echo mismatch self-connect perm-denied no-ports no-buffers too-many-files net-down \
        name-resolution bad-address protocol";
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(reasons, words.split(' ').collect::<Vec<_>>());
    let origins: Vec<_> = Origin::ALL.iter().map(|origin| origin.as_str()).collect();
    assert_eq!(origins, ["local", "peer", "router", "timer", "unknown"]);
}

#[test]
fn every_reason_has_a_sentence_of_its_own() {
    for (i, reason) in Reason::ALL.iter().enumerate() {
        let sentence = reason.explain();
        assert!(sentence.starts_with(char::is_uppercase) && sentence.ends_with('.'), "{reason}: {sentence}");
        assert!(Reason::ALL[..i].iter().all(|other| other.explain() != sentence), "{reason}");
    }
}

#[test]
fn a_wrong_word_is_in_the_error() {
    let wrong = |word: &str| -> UnknownWord { word.parse::<Reason>().unwrap_err() };
    assert_eq!(wrong("Reset").to_string(), "no such reason: \"Reset\"");
    assert_eq!("peers".parse::<Origin>().unwrap_err().to_string(), "no such origin: \"peers\"");
    assert_eq!(wrong("").word(), "");
    // Cut off at 32 bytes, never within a letter.
    assert_eq!(wrong(&"x".repeat(99)).word(), "x".repeat(32));
    assert_eq!(wrong(&"€".repeat(99)).word(), "€".repeat(10));
    // Nothing behind a letter that did not fit, even if it would.
    assert_eq!(wrong(&format!("{}€x", "x".repeat(31))).word(), "x".repeat(31));
}
