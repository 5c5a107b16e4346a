//! An agent of the lab, as a program of its own: for the lab's tests.

fn main() -> std::process::ExitCode {
    resound_lab::agent::main()
}
