//! The command line: arguments, help texts and exit statuses.

use std::process::ExitCode;

/// Runs the program and gives its exit status: 0 done, 1 the input or configuration is at fault, 2 wrong usage.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
