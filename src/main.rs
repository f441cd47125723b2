//! The `stakeout` program: hands its arguments to the command line and its exit status to the shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    stakeout::cli::main()
}
