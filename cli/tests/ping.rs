//! `resound ping`, as scripts and people see it.

#![allow(missing_docs)]

mod common;

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use common::{RUNTIMES, Server, collect, events, nobody, resound, run, signal, takes_signals, wait};
use nix::sys::signal::Signal;

#[test]
fn every_message_is_echoed_on_each_runtime() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        let ran = run(&[
            "ping",
            &server.addr,
            "-c",
            "5",
            "-i",
            "20ms",
            "-s",
            "100",
            "--runtime",
            runtime,
            "--json",
        ]);
        let lines = ran.code(0).lines();
        let echoes = events(&lines, "echo");
        assert_eq!(
            echoes.iter().map(|echo| echo["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
        assert!(echoes.iter().all(|echo| echo["bytes"] == 100 && echo["runtime"] == runtime));
        let summary = lines.last().unwrap();
        assert_eq!((&summary["event"], &summary["end"]), (&"summary".into(), &"count".into()));
        assert_eq!(
            (&summary["sent"], &summary["echoed"], &summary["lost"]),
            (&5.into(), &5.into(), &0.into())
        );
        assert!(summary["rtt_ns"]["min"].as_u64() <= summary["rtt_ns"]["max"].as_u64());
        let times: Vec<u64> = lines.iter().map(|line| line["t_ns"].as_u64().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}

#[test]
fn refused_says_so_and_exits_with_10() {
    let ran = run(&["ping", &nobody(), "-c", "2", "-i", "50ms", "--json"]);
    let lines = ran.code(10).lines();
    let failed = events(&lines, "dial_failed");
    assert!(failed.iter().all(|failed| failed["reason"] == "conn-refused"
        && failed["origin"] == "peer"
        && failed["errno"] == "ECONNREFUSED"));
    assert_eq!(events(&lines, "lost").len(), 2);
    let summary = lines.last().unwrap();
    assert_eq!(summary["last_reason"], "conn-refused");
    assert!(summary["rtt_ns"].is_null());
}

#[test]
fn silence_on_connect_is_no_response_and_exits_with_11() {
    // A queue of length 0 takes one connection; what comes after it is not answered.
    let listener = socket2_listener();
    let addr = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&addr, Duration::from_secs(2)).ok();
    let fillers: Vec<TcpStream> = core::iter::from_fn(connect).take(8).collect();
    assert!(fillers.len() < 8, "the queue is never full");
    let ran = run(&["ping", &addr.to_string(), "-c", "1", "-W", "500ms", "--json"]);
    let lines = ran.code(11).lines();
    assert_eq!(events(&lines, "dial_failed")[0]["reason"], "no-response");
    drop(listener);
    drop(fillers);
}

fn socket2_listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A second listen(2) changes the length of the queue.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    listener
}

#[test]
fn a_name_that_does_not_exist_exits_with_16_and_leaves_a_document() {
    let ran = run(&["ping", "no-such-host.invalid", "-c", "1", "-o", "json"]);
    let document = ran.code(16).document();
    assert_eq!(document["end"], "error");
    assert_eq!(document["targets"][0]["last_reason"], "name-resolution");
    assert!(document["error"].as_str().unwrap().contains("no-such-host.invalid"));
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn several_targets_are_told_apart_and_the_highest_code_wins() {
    let server = Server::start(&[]);
    let nobody = nobody();
    let ran = run(&["ping", &server.addr, &nobody, "-c", "2", "-i", "20ms", "-o", "json"]);
    let document = ran.code(10).document();
    let targets = document["targets"].as_array().unwrap();
    assert_eq!(targets[0]["target"], *server.addr);
    assert_eq!((&targets[0]["echoed"], &targets[1]["echoed"]), (&2.into(), &0.into()));
    assert_eq!(targets[1]["last_reason"], "conn-refused");
}

#[test]
fn a_server_that_dies_and_returns_is_found_again() {
    let mut server = Server::start(&[]);
    let addr = server.addr.clone();
    let mut child = resound(&["ping", &addr, "-i", "20ms", "--profile", "fast", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |event: &str| {
        let wanted = format!("\"event\":\"{event}\"");
        lines.by_ref().map_while(Result::ok).find(|line| line.contains(&wanted)).expect(event)
    };
    until("echo");
    server.kill();
    let down = until("down");
    assert!(down.contains("\"closed") || down.contains("\"reset\""), "{down}");
    let _again = Server::start_at(&addr);
    until("up");
    until("echo");
    signal(&child, Signal::SIGINT);
    let summary = until("summary");
    assert!(summary.contains("\"reconnects\":1"), "{summary}");
    assert_eq!(wait(&mut child).code(), Some(130));
}

#[test]
fn giving_up_ends_it_with_the_last_reason() {
    let ran = run(&["ping", &nobody(), "-i", "10s", "--profile", "fast", "--retries", "2", "-o", "json"]);
    let document = ran.code(10).document();
    assert_eq!((&document["end"], &document["targets"][0]["end"]), (&"gave_up".into(), &"gave_up".into()));
}

#[test]
fn what_is_no_echo_server_exits_with_15() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).unwrap();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        thread::sleep(Duration::from_secs(2));
    });
    let ran = run(&["ping", &addr.to_string(), "-o", "json"]);
    let document = ran.code(15).document();
    assert_eq!(document["targets"][0]["last_reason"], "mismatch");
}

#[test]
fn an_interrupt_prints_the_statistics_in_every_format() {
    let server = Server::start(&[]);
    for format in ["text", "json", "jsonl", "csv", "quiet"] {
        let mut child = resound(&["ping", &server.addr, "-i", "10ms", "-o", format]).spawn().unwrap();
        takes_signals(&child);
        let mut begun = Vec::new();
        while format == "text" && !begun.ends_with(b"seq=0") {
            let mut byte = [0];
            child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            begun.push(byte[0]);
        }
        signal(&child, Signal::SIGINT);
        let mut ran = collect(child);
        ran.stdout.splice(0..0, begun);
        ran.code(130);
        match format {
            "text" => assert!(ran.text().contains("interrupted") && ran.text().contains("p99.9"), "{ran:?}"),
            "json" => assert_eq!(ran.document()["end"], "interrupted"),
            "jsonl" => assert_eq!(ran.lines().last().unwrap()["end"], "interrupted"),
            "csv" => assert!(ran.rows().last().unwrap().contains(&"interrupted".to_owned())),
            _ => assert!(ran.stdout.is_empty(), "{ran:?}"),
        }
    }
}

#[test]
fn an_interrupt_works_before_there_is_a_connection() {
    let child = resound(&["ping", &nobody(), "-o", "json"]).spawn().unwrap();
    takes_signals(&child);
    signal(&child, Signal::SIGTERM);
    let ran = collect(child);
    assert_eq!(ran.code(130).document()["end"], "interrupted");
}

#[test]
fn csv_has_a_row_for_each_event() {
    let server = Server::start(&[]);
    let ran = run(&["ping", &server.addr, "-c", "3", "-i", "10ms", "-o", "csv"]);
    let rows = ran.code(0).rows();
    let column = |name: &str| rows[0].iter().position(|cell| cell == name).unwrap();
    let (event, rtt, echoed) = (column("event"), column("rtt_ns"), column("echoed"));
    let echoes: Vec<_> = rows.iter().filter(|row| row[event] == "echo").collect();
    assert_eq!(echoes.len(), 3);
    assert!(echoes.iter().all(|row| row[rtt].parse::<u64>().is_ok()));
    assert_eq!(rows.last().unwrap()[echoed], "3");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let server = Server::start(&[]);
    for format in ["text", "jsonl", "csv"] {
        let mut child = resound(&["ping", &server.addr, "-i", "5ms", "-o", format]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let status = wait(&mut child);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn a_full_disk_is_told_and_exits_with_17() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return println!("skipped: there is no /dev/full");
    };
    let server = Server::start(&[]);
    let child = resound(&["ping", &server.addr, "-c", "2"]).stdout(Stdio::from(full)).spawn().unwrap();
    let ran = collect(child);
    ran.code(17);
    assert!(ran.stderr.contains("cannot write to standard output"), "{ran:?}");
}

#[test]
fn nobody_on_standard_error_is_no_reason_to_fail() {
    let mut child = resound(&["ping", "no-such-host.invalid", "-c", "1"]).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(wait(&mut child).code(), Some(16));
}

#[test]
fn colours_go_where_they_are_wanted() {
    let server = Server::start(&[]);
    let args = ["ping", &server.addr, "-c", "1"];
    let colored =
        |command: &mut std::process::Command| collect(command.spawn().unwrap()).text().contains('\x1b');
    assert!(!colored(&mut resound(&args)));
    assert!(colored(resound(&args).env("CLICOLOR_FORCE", "1")));
    assert!(colored(resound(&args).args(["--color", "always"])));
    assert!(!colored(resound(&args).args(["--color", "never"]).env("CLICOLOR_FORCE", "1")));
}

#[test]
fn as_fast_as_echoes_come() {
    let server = Server::start(&[]);
    let ran = run(&["ping", &server.addr, "-c", "2000", "-i", "0", "-s", "1", "-o", "json"]);
    assert_eq!(ran.code(0).document()["targets"][0]["echoed"], 2000);
}

#[test]
fn an_echo_that_comes_too_late_is_counted_as_lost_and_as_late() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut message = [0; 56];
        for pause in [1_500, 0] {
            stream.read_exact(&mut message).unwrap();
            thread::sleep(Duration::from_millis(pause));
            std::io::Write::write_all(&mut stream, &message).unwrap();
        }
        thread::sleep(Duration::from_secs(2));
    });
    let ran = run(&["ping", &addr.to_string(), "-c", "2", "-i", "4s", "-W", "1s", "-o", "json"]);
    let document = ran.code(1).document();
    let target = &document["targets"][0];
    assert_eq!((&target["echoed"], &target["lost"], &target["late"]), (&1.into(), &1.into(), &1.into()));
}

#[test]
fn messages_of_any_size_it_allows() {
    for runtime in RUNTIMES {
        let server = Server::start(&["--runtime", runtime]);
        for size in ["1", "65536", "1048576"] {
            let args =
                ["ping", &server.addr, "-c", "3", "-i", "0", "-s", size, "--runtime", runtime, "-o", "json"];
            assert_eq!(run(&args).code(0).document()["targets"][0]["echoed"], 3, "{runtime}, {size}");
        }
    }
    for size in ["0", "1048577"] {
        assert!(run(&["ping", "localhost", "-s", size]).code(2).stderr.contains("--size"));
    }
}
