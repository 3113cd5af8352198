//! carptop: a live view of carpd's virtual hosts.

use std::process::ExitCode;

fn main() -> ExitCode {
    carptop::main()
}
