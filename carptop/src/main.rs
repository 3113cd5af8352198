//! carptop: live view of carp interfaces.

use std::process::ExitCode;

fn main() -> ExitCode {
    carptop::main()
}
