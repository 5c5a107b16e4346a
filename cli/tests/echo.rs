//! `resound echo`: every byte comes back, or is named as lost.

#![allow(missing_docs)]

extern crate alloc;

mod common;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use common::{
    RUNTIMES, Server, collect, events, feed, finish, free_port, insist, nobody, resound, run, signal,
    takes_signals, wait,
};
use nix::sys::signal::Signal;

/// Bytes without a pattern that chunks could hide in.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    core::iter::repeat_with(step).flatten().take(len).collect()
}

#[test]
fn what_goes_in_comes_out_on_each_runtime() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        for input in [&b"one\ntwo\n"[..], b"no newline at the end", b"\n\n\n", b"\xff\xfe\0\r\n\x80", b""] {
            let ran = feed(&["echo", &server.addr, "--runtime", runtime], input);
            assert_eq!(ran.code(0).stdout, input, "{runtime}");
            assert_eq!(ran.stderr, "");
        }
    }
}

#[test]
fn binary_files_of_any_size_go_through() {
    let input = noise(100 << 20);
    let server = Server::start(&[]);
    let ran = feed(&["echo", &server.addr], &input);
    ran.code(0);
    assert_eq!(ran.stdout.len(), input.len());
    assert!(ran.stdout == input, "the bytes differ");
}

#[test]
fn a_slow_reader_loses_nothing() {
    let input = noise(8 << 20);
    let server = Server::start(&[]);
    let mut child = resound(&["echo", &server.addr]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let copy = input.clone();
    let writer = thread::spawn(move || stdin.write_all(&copy).unwrap());
    let mut stdout = child.stdout.take().unwrap();
    let (mut came, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        let n = stdout.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        came.extend_from_slice(&buffer[..n]);
        thread::sleep(Duration::from_millis(10));
    }
    writer.join().unwrap();
    assert_eq!(wait(&mut child).code(), Some(0));
    assert!(came == input, "{} of {} bytes, or others", came.len(), input.len());
}

#[test]
fn each_line_has_its_own_round_trip_where_messages_are_shown() {
    let server = Server::start(&[]);
    let ran = feed(&["echo", &server.addr, "--json"], b"a\n\nlast");
    let lines = ran.code(0).lines();
    let bytes: Vec<u64> = events(&lines, "echo").iter().map(|echo| echo["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [2, 1, 4]);
    let ran = feed(&["echo", &server.addr, "-o", "csv"], b"a\nb\n");
    assert_eq!(ran.code(0).rows().iter().filter(|row| row[2] == "echo").count(), 2);
    let ran = feed(&["echo", &server.addr, "-o", "json"], b"abc");
    let document = ran.code(0).document();
    assert_eq!((&document["bytes_sent"], &document["bytes_echoed"]), (&3.into(), &3.into()));
    let ran = feed(&["echo", &server.addr, "-o", "quiet"], b"abc");
    assert_eq!(ran.code(0).stdout, b"");
}

#[test]
fn lines_come_back_while_the_input_stays_open() {
    let server = Server::start(&[]);
    let mut child = resound(&["echo", &server.addr]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for line in [&b"first\n"[..], b"second\n"] {
        stdin.write_all(line).unwrap();
        let mut back = vec![0; line.len()];
        stdout.read_exact(&mut back).unwrap();
        assert_eq!(back, line);
    }
    drop(stdin);
    assert_eq!(wait(&mut child).code(), Some(0));
}

#[test]
fn a_server_that_cannot_be_reached_ends_it_at_once_with_the_reason() {
    let began = Instant::now();
    let ran = feed(&["echo", &nobody()], b"hello\n");
    assert!(ran.code(10).stderr.contains("conn-refused"), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(19), "a silent host takes 20 s");
    let mut child =
        resound(&["echo", &nobody(), "-o", "json", "--profile", "fast", "--retries", "3", "--window", "3"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    let status = wait(&mut child);
    let ran = collect(child);
    drop(stdin);
    let document = ran.document();
    assert_eq!(
        (status.code(), &document["bytes_sent"], &document["bytes_unsent"]),
        (Some(10), &3.into(), &3.into())
    );
    assert!(ran.stderr.contains("3 bytes were read and never sent; the input was not read"), "{ran:?}");
    let ran = run(&["echo", "no-such-host.invalid", "-o", "json"]);
    assert_eq!(ran.code(16).document()["summary"]["last_reason"], "name-resolution");
}

#[test]
fn a_server_that_is_late_is_waited_for_when_asked() {
    let addr = free_port().to_string();
    let args = ["echo", &addr, "--give-up", "50s", "--profile", "fast"];
    let mut child = resound(&args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"patience\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    let _server = Server::start_at(&addr);
    assert_eq!(collect(child).code(0).stdout, b"patience\n");
}

/// Takes one connection, echoes `good` bytes of it, reads on without echoing, then ends it.
fn dying_peer(good: usize) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; good];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut more = [0; 1];
        stream.read_exact(&mut more).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    (addr, peer)
}

#[test]
fn what_a_dying_server_took_is_named_and_the_exit_code_tells() {
    let (addr, peer) = dying_peer(4);
    let args = ["echo", &addr, "--retries", "1", "--profile", "fast"];
    let mut child = resound(&args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    let mut back = [0; 4];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut back).unwrap();
    stdin.write_all(b"two\nthree\n").unwrap();
    let ran = collect(child);
    peer.join().unwrap();
    ran.code(10);
    assert!(ran.stderr.contains("closed-early"), "{ran:?}");
    assert!(ran.stderr.contains("lost 1 messages from seq 1: 10 bytes at offset 4, lines 2 to 3"), "{ran:?}");
}

#[test]
fn after_a_loss_the_rest_goes_to_the_next_connection_and_the_code_is_1() {
    for resend in [false, true] {
        let (addr, peer) = dying_peer(4);
        let mut args = vec!["echo", &addr, "--give-up", "50s", "--profile", "fast"];
        args.extend(resend.then_some("--resend"));
        let mut child = resound(&args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"one\n").unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 4]).unwrap();
        stdin.write_all(b"two\n").unwrap();
        peer.join().unwrap();
        let _server = Server::start_at(&addr);
        stdin.write_all(b"three\n").unwrap();
        drop(stdin);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        let (want, code) = if resend { ("two\nthree\n", 0) } else { ("three\n", 1) };
        assert_eq!((rest.as_str(), wait(&mut child).code()), (want, Some(code)));
    }
}

#[test]
fn a_death_is_told_at_once_even_while_nothing_is_sent() {
    let mut server = Server::start(&[]);
    let mut child = resound(&["echo", &server.addr]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    server.kill();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let began = Instant::now();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    assert!(line.contains("the connection is down: closed"), "{line}");
    assert!(began.elapsed() < Duration::from_secs(5));
    signal(&child, Signal::SIGINT);
    assert_eq!(wait(&mut child).code(), Some(130));
}

#[test]
fn an_interrupt_says_how_far_it_came() {
    let server = Server::start(&[]);
    let mut child = resound(&["echo", &server.addr]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    signal(&child, Signal::SIGINT);
    let ran = collect(child);
    assert!(ran.code(130).stderr.contains("6 bytes sent, 6 echoed"), "{ran:?}");
}

#[test]
fn an_interrupt_leaves_a_document_whatever_the_moment() {
    let server = Server::start(&[]);
    for (target, wait) in [(server.addr.as_str(), 0), (&server.addr, 50), ("no-such-host.invalid", 0)] {
        let mut child = resound(&["echo", target, "-o", "json"]).stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        takes_signals(&child);
        thread::sleep(Duration::from_millis(wait));
        // Fails if the look-up was faster.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), Signal::SIGINT);
        let ran = collect(child);
        drop(stdin);
        assert!(ran.code == Some(130) || target.ends_with("invalid") && ran.code == Some(16), "{ran:?}");
        ran.document();
    }
}

#[test]
fn a_window_smaller_than_a_line_carries_it_in_parts() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        let input = noise(1_000);
        for format in ["text", "jsonl"] {
            let args = ["echo", &server.addr, "--window", "7", "--runtime", runtime, "-o", format];
            let ran = feed(&args, &input);
            ran.code(0);
            if format == "text" {
                assert_eq!(ran.stdout, input, "{runtime}");
            } else {
                assert!(events(&ran.lines(), "echo").iter().all(|echo| echo["bytes"].as_u64() <= Some(7)));
            }
        }
    }
}

#[test]
fn without_standard_streams_it_ends_in_good_order() {
    let server = Server::start(&[]);
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let line = format!("exec {} echo {} {closed}", env!("CARGO_BIN_EXE_resound"), server.addr);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &line]).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command, b"").code(0);
    }
}

#[test]
fn a_second_interrupt_ends_it_even_if_nobody_reads() {
    let server = Server::start(&[]);
    let mut child = resound(&["echo", &server.addr]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let writer = thread::spawn(move || {
        // Fails once the child is gone.
        while stdin.write_all(&[b'x'; 4_096]).is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    // Its output is full when it takes no more input.
    let mut before = 0;
    while before == 0 || taken.load(Ordering::SeqCst) != before {
        before = taken.load(Ordering::SeqCst);
        thread::sleep(Duration::from_secs(1));
    }
    signal(&child, Signal::SIGINT);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "its output is full and nobody reads: it cannot have ended");
    assert_eq!(insist(&mut child, Signal::SIGINT).code(), Some(130));
    writer.join().unwrap();
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let server = Server::start(&[]);
    let mut child = resound(&["echo", &server.addr]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || drop(stdin.write_all(&noise(8 << 20))));
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    assert_eq!(wait(&mut child).code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
    writer.join().unwrap();
}

#[test]
fn a_wrong_answer_is_never_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(b"hELLO\n").unwrap();
        // Until the client ends it.
        let _ = stream.read(&mut [0; 1]);
    });
    let ran = finish(resound(&["echo", &addr]), b"hello\n");
    assert_eq!(ran.code(15).stdout, b"");
    assert!(ran.stderr.contains("mismatch"), "{ran:?}");
    peer.join().unwrap();
}
