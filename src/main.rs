//! The `stakeout` program: hands its arguments to the command line and its exit status to the shell.

use std::process::ExitCode;

/// Events are allocated and freed by the million; the system's allocator takes a tenth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stakeout::cli::main()
}
