//! carpctl: ifconfig(8) for carp interfaces, sysctl(8) for `net.inet.carp` and related commands,
//! over carpd's D-Bus interface.

mod cli;
mod colour;
mod complete;
mod configuration;
mod device;
mod exit;
mod ifconfig;
mod json;
#[cfg(test)]
mod manual;
mod monitor;
mod multicall;
mod name;
mod netstat;
mod suppress;
mod sysctl;
mod time;

use std::env::ArgsOs;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use exit::{Failure, Outcome};
use name::ProgramName;

/// Bytes of output per write: thousands of interfaces are almost a megabyte.
const BUFFER_SIZE: usize = 64 * 1024;

fn main() -> ExitCode {
    let mut out = BufWriter::with_capacity(BUFFER_SIZE, io::stdout().lock());
    match run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The output comes before the error line; a second failure is not reported.
            let _ = out.flush();
            failure.report()
        }
    }
}

/// Returns the words after the name of the program.
fn words(arguments: ArgsOs) -> Vec<OsString> {
    arguments.skip(1).collect()
}

fn run(out: &mut impl Write) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let arguments = std::env::args_os();
        match ProgramName::current() {
            ProgramName::Carpctl => cli::run(arguments, out).await,
            ProgramName::Ifconfig => multicall::ifconfig::run(&words(arguments), out).await,
            ProgramName::Sysctl => multicall::sysctl::run(&words(arguments), out).await,
        }
    })?;
    Ok(out.flush()?)
}
