//! The CARP daemon. Everything is in the library, where tests and fuzz targets reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    carpd::main()
}
