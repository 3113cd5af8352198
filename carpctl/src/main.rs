//! carpctl: ifconfig(8) for carp interfaces, sysctl(8) for `net.inet.carp`, and what goes with
//! them, by way of carpd's D-Bus interface.

mod called;
mod cli;
mod colour;
mod complete;
mod configuration;
mod exit;
mod ifconfig;
mod json;
#[cfg(test)]
mod manual;
mod monitor;
mod netstat;
mod suppress;
mod sysctl;
mod time;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use called::Name;
use exit::{Failure, Outcome};

/// How much of the output is written at a time: thousands of interfaces are most of a megabyte.
const BUFFER: usize = 64 * 1024;

fn main() -> ExitCode {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    match run(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // What was written before comes first; if that fails too, the first failure counts.
            let _ = out.flush();
            failure.report()
        }
    }
}

fn run(out: &mut impl Write) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let arguments = std::env::args_os();
        match Name::current() {
            Name::Carpctl => cli::run(arguments, out).await,
            Name::Ifconfig => called::ifconfig(arguments.skip(1), out).await,
            Name::Sysctl => called::sysctl(arguments.skip(1), out).await,
        }
    })?;
    Ok(out.flush()?)
}
